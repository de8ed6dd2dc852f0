// The list of results: one <li> per document, kept across rounds so that it can glide to its new place.

import { h, highlighted, icon, spoken } from "./dom.js";
import { flip } from "./motion.js";
import { why } from "./why.js";

const JUDGEMENTS = [
  ["relevant", "up", "More like this"],
  ["not_relevant", "down", "Not this"],
];

/** How far a hit moved since the round before: {label, text, kind}, or null in the first round. */
export function movement(hit, round) {
  if (round < 2) return null;
  if (hit.previous_rank === null) return { label: "new", text: "new in the ranking", kind: "new" };
  const places = hit.previous_rank - hit.rank;
  if (places === 0) return { label: "", text: "did not move", kind: "same" };
  const distance = `${Math.abs(places)} ${Math.abs(places) === 1 ? "place" : "places"}`;
  return places > 0
    ? { label: `▲ ${places}`, text: `moved up ${distance}`, kind: "up" }
    : { label: `▼ ${-places}`, text: `moved down ${distance}`, kind: "down" };
}

/** The toggle buttons of a document; used in the list and in the reader. */
export function judgementButtons(mark) {
  return JUDGEMENTS.map(([kind, symbol, label]) =>
    h(
      "button",
      { type: "button", class: `judge ${kind}`, "aria-pressed": String(mark === kind), data: { act: kind } },
      icon(symbol),
      h("span", {}, label),
    ),
  );
}

/** The fields of a document as small tags; pressing one filters by it. */
export function tags(fields) {
  const pairs = Object.entries(fields ?? {}).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one) => [name, one]),
  );
  if (!pairs.length) return null;
  const tag = ([name, value]) =>
    h(
      "li",
      {},
      h(
        "button",
        { type: "button", class: "tag", title: "Show only these", data: { act: "tag", name, value: JSON.stringify(value) } },
        h("span", { class: "tag-name" }, name),
        " ",
        String(value),
      ),
    );
  return h("ul", { class: "tags", role: "list", "aria-label": "Fields" }, pairs.map(tag));
}

/** The query string that leads to a document, so that its title is a real link. */
function address(id) {
  const query = new URLSearchParams(location.search);
  query.set("doc", id);
  return `?${query}`;
}

/** Where the other list has a document: its rank there, or that it is missing. */
function elsewhere(hit, other) {
  const there = other.ranks.get(hit.id);
  const by = Math.abs((there ?? hit.rank) - hit.rank);
  const [kind, said] =
    there === undefined ? ["alone", "only here"] : by ? ["differs", `${there} in ${other.name}`] : ["same", "same place"];
  return h("span", { class: `elsewhere ${kind}` }, said);
}

function body(hit, { round, mark, open, other }) {
  const moved = movement(hit, round);
  const shown = hit.title || hit.id;
  return [
    h(
      "div",
      { class: "place" },
      h("span", { class: "rank" }, spoken("Rank "), String(hit.rank)),
      moved &&
        h("span", { class: `moved ${moved.kind}` }, h("span", { "aria-hidden": "true" }, moved.label), spoken(moved.text)),
    ),
    h(
      "div",
      { class: "hit-body" },
      h(
        "h3",
        {},
        h("a", { href: address(hit.id), class: "title", data: { act: "open" } }, shown),
        mark === "click" && h("span", { class: "seen" }, icon("eye"), "Opened"),
        other && elsewhere(hit, other),
      ),
      hit.snippet?.text && h("p", { class: "snippet" }, highlighted(hit.snippet.text, hit.snippet.highlights)),
      h(
        "div",
        { class: "actions" },
        h("div", { role: "group", "aria-label": `Your judgement of ${shown}`, class: "judges" }, judgementButtons(mark)),
        hit.stages &&
          h(
            "button",
            { type: "button", class: "quiet why-toggle", "aria-expanded": String(open), data: { act: "why" } },
            "Why?",
            icon("chevron"),
          ),
        tags(hit.fields),
      ),
      open && why(hit, moved),
    ),
  ];
}

export class HitList {
  #list;
  #items = new Map(); // document -> its <li>
  #open = new Set(); // documents whose "why" is open

  constructor(list) {
    this.#list = list;
  }

  /** Draw the hits of a session, with `other` beside another list {name, ranks}; where documents stay, their nodes and the keyboard focus stay with them. */
  draw({ hits, marks, answer }, other = null) {
    const focus = this.#focused();
    flip(this.#list, () => {
      const items = hits.map((hit) => {
        const item = this.#items.get(hit.id) ?? h("li", { class: "hit", data: { id: hit.id } });
        const mark = marks.get(hit.id);
        item.dataset.mark = mark ?? "none";
        item.replaceChildren(...body(hit, { round: answer.round, mark, open: this.#open.has(hit.id), other }));
        return item;
      });
      this.#items = new Map(items.map((item) => [item.dataset.id, item]));
      this.#list.replaceChildren(...items);
    });
    if (focus) this.#items.get(focus.id)?.querySelector(`[data-act="${focus.act}"]`)?.focus({ preventScroll: true });
  }

  clear() {
    this.#items.clear();
    this.#open.clear();
    this.#list.replaceChildren();
  }

  toggleWhy(id) {
    if (!this.#open.delete(id)) this.#open.add(id);
  }

  /** Move the focus to the title `step` places from the focused hit; the first one where none is focused. */
  step(step) {
    const items = [...this.#list.children];
    const at = items.findIndex((item) => item.contains(document.activeElement));
    const to = at < 0 ? 0 : Math.min(items.length - 1, Math.max(0, at + step));
    this.focus(items[to]?.dataset.id);
  }

  focus(id) {
    const item = this.#items.get(id);
    item?.querySelector(".title").focus({ preventScroll: true });
    item?.scrollIntoView({ block: "nearest" });
    return item !== undefined;
  }

  /** The id of the document that holds the keyboard focus, or null. */
  get current() {
    const item = document.activeElement?.closest(".hit");
    return item && this.#list.contains(item) ? item.dataset.id : null;
  }

  #focused() {
    const act = document.activeElement?.dataset.act;
    return this.current && act ? { id: this.current, act } : null;
  }
}
