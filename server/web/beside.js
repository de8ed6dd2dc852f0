// A second ranking of the same question by another pipeline, beside the first. It hears what is said in either list.

import { HitList } from "./hits.js";
import { movedText } from "./panel.js";
import { Session } from "./session.js";

const $ = (selector) => document.querySelector(selector);

/** The list {name, ranks} as the other list wants to know it. */
const asOther = ({ answer, hits }) => ({ name: answer.pipeline, ranks: new Map(hits.map((hit) => [hit.id, hit.rank])) });

export class Beside {
  #session;
  #list = new HitList($("#hits-beside"));
  #main;
  #redraw;
  on = false;

  /** `main` is the session of the first list; `redraw` is called when this one has changed. */
  constructor(main, redraw) {
    this.#main = main;
    this.#redraw = redraw;
    this.#session = new Session((what) => what !== "busy" && this.#redraw(what));
  }

  /** Rank by another pipeline, with what has been said so far; an empty name ends it. */
  search(wanted, pipeline) {
    this.on = pipeline !== "";
    $("#beside-part").hidden = $("#hits-name").hidden = !this.on;
    document.body.toggleAttribute("data-beside", this.on);
    this.#list.clear();
    if (!this.on) {
      this.#session.reset();
      return this.#redraw("ended");
    }
    const grade = { relevant: [1, 1], click: [1, 0.5], not_relevant: [0, 1] };
    const said = [...this.#main.marks].map(([document, kind]) => ({ document, relevance: grade[kind][0], weight: grade[kind][1] }));
    return this.#session.search({ ...wanted, pipeline, feedback: [...(wanted.feedback ?? []), ...said] });
  }

  get answered() {
    return this.on && this.#session.answer !== null;
  }

  /** The first list as this one knows it, for its own marks of difference; null where there is no second list. */
  get other() {
    return this.answered ? asOther(this.#session) : null;
  }

  /** Whether a control belongs to this list. */
  owns = (node) => $("#hits-beside").contains(node);

  hit = (id) => this.#session.hits.find((one) => one.id === id);

  /** Say here what has been said in the first list. */
  adopt() {
    if (this.answered) this.#session.adopt(this.#main.marks);
  }

  /** A document was opened from one of the lists: a click there, news for the other. */
  click(id, details, here) {
    if (!this.answered) return null;
    if (!here) return this.#session.hear(id);
    this.#session.mark(id, "click", details);
    return this.#main.hear(id);
  }

  toggleWhy(id) {
    this.#list.toggleWhy(id);
  }

  /** The document of this list that holds the keyboard focus, or null. */
  get current() {
    return this.#list.current;
  }

  step(by) {
    this.#list.step(by);
  }

  draw() {
    const { problem, answer, hits } = this.#session;
    $("#beside-status").textContent = problem ? `${problem.message} ${problem.advice}` : answer ? this.#status(answer, hits) : "";
    if (!this.answered || !this.#main.answer) return;
    $("#beside-name").textContent = answer.pipeline;
    $("#hits-name").textContent = this.#main.answer.pipeline;
    this.#list.draw({ hits, marks: this.#main.marks, answer }, asOther(this.#main));
  }

  #status(answer, hits) {
    const shared = hits.filter((hit) => this.#main.hits.some((one) => one.id === hit.id)).length;
    return `${shared} of ${hits.length} are in both lists${answer.round > 1 ? ` · ${movedText(hits)}` : ""}`;
  }
}
