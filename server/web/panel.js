// The column beside the results: what the reader has said so far, and how this ranking was made.

import { count, h, icon, milliseconds, spoken } from "./dom.js";

const SAID = {
  relevant: ["up", "More like this"],
  not_relevant: ["down", "Not this"],
  click: ["eye", "Opened"],
};

function mark(id, kind, title) {
  const [symbol, said] = SAID[kind] ?? SAID.click;
  return h(
    "li",
    { class: `mark ${kind}`, data: { id } },
    h("span", { class: "mark-kind", title: said }, icon(symbol), spoken(`${said}:`)),
    h("button", { type: "button", class: "mark-title", data: { act: "show" }, title }, title),
    h("button", { type: "button", class: "round-button", data: { act: "none" } }, icon("cross"), spoken(`Take back: ${title}`)),
  );
}

/** Draw the marks of a session into `section`; the newest one comes first. */
export function drawFeedback(section, { marks, titles, canUndo, trail }) {
  section.querySelector("#undo").hidden = !canUndo;
  section.querySelector("#tools").hidden = !marks.size && !canUndo;
  drawTrail(section, trail, titles);
  const items = [...marks].reverse().map(([id, kind]) => mark(id, kind, titles.get(id) ?? id));
  section.dataset.marks = String(marks.size);
  section.querySelector("#marks").replaceChildren(...items);
  section.querySelector("#feedback-count").textContent = marks.size ? String(marks.size) : "";
}

/** What a round knew that the one before did not: "+ Title", "− Title", "without Title", or another pipeline. */
function news(now, before, titles) {
  if (!before) return "First list";
  const name = (id) => titles.get(id) ?? id;
  const signs = { relevant: "+ ", not_relevant: "− ", click: "opened " };
  const said = [...now.marks].filter(([id, kind]) => before.marks.get(id) !== kind).map(([id, kind]) => signs[kind] + name(id));
  const unsaid = [...before.marks.keys()].filter((id) => !now.marks.has(id)).map((id) => `without ${name(id)}`);
  const ranked = now.pipeline === before.pipeline ? [] : [`by ${now.pipeline}`];
  return [...said, ...unsaid, ...ranked].join(", ") || "Ranked again";
}

/** The rounds as a trail; every one but the last leads back to what had been said by then. */
function drawTrail(section, trail, titles) {
  const steps = trail.map((one, place) => {
    const words = news(one, trail[place - 1], titles);
    const here = place === trail.length - 1;
    const content = [h("span", { class: "step-round" }, spoken("Round "), String(one.round)), h("span", { class: "step-news" }, words)];
    return h(
      "li",
      { "aria-current": here ? "step" : null },
      here
        ? h("span", { class: "step" }, content)
        : h("button", { type: "button", class: "step", title: `Go back: ${words}`, data: { step: String(place) } }, content),
    );
  });
  section.querySelector("#rounds").replaceChildren(...steps);
  section.querySelector("#rounds-part").hidden = trail.length < 2;
}

/** What a click model made of documents that were seen and left alone: nobody said it, so it is no mark of a document. */
function passedOver({ feedback }) {
  const skipped = feedback.filter(({ kind }) => kind === "skipped").length;
  return skipped ? [["Passed over", `${count(skipped, "document")}, by the click model`]] : [];
}

/** Draw how the newest answer was made into the definition list. */
export function drawAbout(list, answer) {
  const { total, ...stages } = answer.timings_ms;
  const rows = [
    ["Index", answer.index],
    ["Generation", answer.generation],
    ["Pipeline", `${answer.pipeline} (${answer.pipeline_version})`],
    ["Round", String(answer.round)],
    ...passedOver(answer),
    ...Object.entries(stages).map(([stage, ms]) => [stage, milliseconds(ms)]),
    ["Total", milliseconds(total ?? 0)],
  ];
  list.replaceChildren(...rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** "258 results · round 2: 7 of 10 moved". */
export function statusLine({ answer, hits }) {
  const results = answer.total ? count(answer.total, "result") : "No results";
  return answer.round < 2 || !hits.length ? results : `${results} · round ${answer.round}: ${movedText(hits)}`;
}

/** "7 of 10 moved, 1 new". */
export function movedText(hits) {
  const fresh = hits.filter((hit) => hit.previous_rank === null).length;
  const moved = hits.filter((hit) => hit.previous_rank !== null && hit.previous_rank !== hit.rank).length;
  return `${moved} of ${hits.length} moved${fresh ? `, ${fresh} new` : ""}`;
}
