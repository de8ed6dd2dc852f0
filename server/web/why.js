// Why a hit stands where it stands: its rank and score in every stage of the pipeline.

import { h } from "./dom.js";

const score = (value) => (Math.abs(value) >= 100 ? value.toFixed(1) : value.toPrecision(4));

/** "Was 6, now 1 with your feedback. probe ranks it highest (1), bm25 lowest (6)." */
function story(hit, moved) {
  const parts = [];
  if (moved?.kind === "new") parts.push("Your feedback brought it in.");
  else if (moved && moved.kind !== "same") parts.push(`Was ${hit.previous_rank}, now ${hit.rank} with your feedback.`);
  const stages = Object.entries(hit.stages).filter(([, stage]) => stage?.rank);
  stages.sort(([, a], [, b]) => a.rank - b.rank);
  const [best, worst] = [stages.at(0), stages.at(-1)];
  if (best && best[1].rank < worst[1].rank) {
    parts.push(`${best[0]} ranks it highest (${best[1].rank}), ${worst[0]} lowest (${worst[1].rank}).`);
  } else if (best) parts.push(`Every stage puts it at ${best[1].rank}.`);
  return parts.join(" ");
}

/** The stages as a table. A stage that did not see the document is left out. */
export function why(hit, moved) {
  const rows = Object.entries(hit.stages)
    .filter(([, stage]) => stage)
    .map(([name, stage]) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, name),
        h("td", {}, stage.rank ? `#${stage.rank}` : "–"),
        h("td", {}, score(stage.score)),
      ),
    );
  const head = h("tr", {}, ...["Stage", "Rank", "Score"].map((name) => h("th", { scope: "col" }, name)));
  return h(
    "div",
    { class: "why" },
    h("p", {}, story(hit, moved)),
    h("table", {}, h("thead", {}, head), h("tbody", {}, rows)),
    hit.explanation && h("details", {}, h("summary", {}, "Lexical score in detail"), h("pre", { tabindex: "0" }, hit.explanation)),
  );
}
