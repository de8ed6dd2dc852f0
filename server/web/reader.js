// The panel that shows one document in full, and how long it was read.

import { fetchDocument } from "./api.js";
import { h, highlighted } from "./dom.js";
import { judgementButtons, tags } from "./hits.js";

const FIRST_PART = 100_000; // characters; a page of many megabytes would freeze the browser

/** Milliseconds between start and stop during which the page was visible. */
class Stopwatch {
  #total = 0;
  #since = null; // when the current visible stretch began
  #running = false;

  constructor() {
    document.addEventListener("visibilitychange", () => this.#turn());
  }

  start() {
    this.#total = 0;
    this.#since = null;
    this.#running = true;
    this.#turn();
  }

  stop() {
    this.#running = false;
    this.#turn();
    return Math.round(this.#total);
  }

  #turn() {
    if (this.#since !== null) this.#total += performance.now() - this.#since;
    this.#since = this.#running && !document.hidden ? performance.now() : null;
  }
}

export class Reader {
  #dialog;
  #content;
  #judges;
  #watch = new Stopwatch();
  #loading = new AbortController();
  #document = null;
  #closed;

  /** `closed(id, dwell)` is told which document was read, and for how many milliseconds. */
  constructor(dialog, closed) {
    this.#dialog = dialog;
    this.#content = dialog.querySelector("#reader-content");
    this.#judges = dialog.querySelector("#reader-judges");
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    this.#closed = closed;
    dialog.addEventListener("close", () => this.#leave());
  }

  get document() {
    return this.#document;
  }

  /** How long the open document has been read; stops the clock, because the page is about to go away. */
  dwell() {
    return this.#watch.stop();
  }

  /** Show a document. `snippet`, where the list has one, is marked in the text and scrolled to. */
  async open(id, { index, mark, title, snippet }) {
    this.#document = id;
    this.#loading = new AbortController();
    const { signal } = this.#loading;
    this.#head(title || id, id);
    this.#content.replaceChildren(h("p", { class: "quiet-text" }, "Loading the document…"));
    this.mark(mark);
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#watch.start();
    try {
      const found = await fetchDocument(id, index, signal);
      if (signal.aborted) return;
      this.#head(found.title || id, id);
      this.#content.replaceChildren(...[tags(found.fields), this.#text(found, snippet)].filter(Boolean));
      this.#content.querySelector("mark")?.scrollIntoView({ block: "center" });
    } catch (problem) {
      if (signal.aborted) return;
      this.#content.replaceChildren(
        h("div", { class: "problem", role: "alert" }, h("strong", {}, problem.message), " ", problem.advice ?? ""),
      );
    }
  }

  close() {
    if (this.#dialog.open) this.#dialog.close();
    this.#leave(); // at once: the dialog's own event comes only later
  }

  /** Show which judgement holds. */
  mark(kind) {
    const focused = this.#judges.contains(document.activeElement) && document.activeElement.dataset.act;
    this.#judges.replaceChildren(...judgementButtons(kind));
    if (focused) this.#judges.querySelector(`[data-act="${focused}"]`).focus();
  }

  #leave() {
    if (this.#document === null) return;
    const id = this.#document;
    this.#document = null;
    this.#loading.abort();
    this.#closed(id, this.#watch.stop());
  }

  #head(title, id) {
    this.#dialog.querySelector("#reader-title").textContent = title;
    this.#dialog.querySelector("#reader-id").textContent = title === id ? "" : id;
  }

  #text({ title, text }, snippet) {
    if (!text) return h("p", { class: "quiet-text" }, "This document has no text.");
    // Indented or prompt lines mean source code or a table: only a fixed pitch keeps their shape.
    const shape = /^(?: {2,}|\t|>>> )\S/m.test(text) ? "text fixed" : "text";
    const block = h("div", { class: shape }, withSnippet(title, text.slice(0, FIRST_PART), snippet));
    if (text.length <= FIRST_PART) return block;
    const rest = h("button", { type: "button", class: "button" }, `Show the rest (${text.length.toLocaleString("en")} characters)`);
    rest.addEventListener("click", () => {
      rest.remove();
      block.append(text.slice(FIRST_PART));
    });
    return h("div", {}, block, rest);
  }
}

/**
 * The text with the matches of the snippet marked. A snippet is a piece of title and text with every space and line
 * break as one blank, and an ellipsis where it was cut.
 */
function withSnippet(title, text, snippet) {
  if (!snippet) return [text];
  const piece = snippet.text.replace(/^… /, "").replace(/ …$/, "");
  const contents = (title ? `${title}\n${text}` : text).replace(/\s/g, " ");
  const at = contents.indexOf(piece);
  if (at < 0) return [text];
  const length = (string) => Array.from(string).length;
  const cut = snippet.text.startsWith("… ") ? 2 : 0;
  const shift = length(contents.slice(0, at)) - cut - (title ? length(title) + 1 : 0);
  const ranges = snippet.highlights.map(([start, end]) => [start + shift, end + shift]);
  return highlighted(text, ranges.filter(([start]) => start >= 0));
}
