// One query and its rounds of feedback: what has been asked, answered and marked. Knows nothing of the page.

import * as api from "./api.js";

const PAGE = 10;
const MOST = 100; // the largest `limit` that the server accepts
const CLICK = 0.5; // what a click made elsewhere counts beside a judgement

/** One visit of one person: the queries of a tab belong together in the log. */
function visit() {
  let id = sessionStorage.getItem("visit");
  if (!id) sessionStorage.setItem("visit", (id = api.randomId()));
  return id;
}

/** The mark of a line of feedback; other clients may grade a document between 0 and 1. */
function label({ kind, relevance, weight }) {
  if (kind !== "graded") return kind;
  return relevance <= 0.5 ? "not_relevant" : weight <= CLICK ? "click" : "relevant";
}

/** Whether the same request would be refused again. */
export const refused = ({ status }) => status >= 400 && status < 500 && status !== 429;

/** What the person said. What a click model makes of documents that were passed over is for the ranking only. */
const given = ({ feedback }) => feedback.filter(({ kind }) => kind !== "skipped");

/** The rounds of a query as [{round, pipeline, marks}], kept for this tab so that they outlive a reload. */
const kept = {
  read: (id) => JSON.parse(sessionStorage.getItem(`trail ${id}`) ?? "[]").map((one) => ({ ...one, marks: new Map(one.marks) })),
  write: (id, trail) =>
    sessionStorage.setItem(`trail ${id}`, JSON.stringify(trail.map((one) => ({ ...one, marks: [...one.marks] })))),
};

/**
 * What ranks the query of this id where its reader has chosen no pipeline: the one that the server chose when it was
 * new, which may be this session's part in an experiment; else `standard`.
 */
export const usual = (id, standard) => kept.read(id).find((one) => one.usual)?.pipeline ?? standard;

export class Session {
  #changed;
  #past = []; // the marks before each act of the reader, for undo
  #told = []; // clicks made in another list, for the next round
  #open = false; // whether the server was to choose the pipeline
  #query = null; // identity of the query at hand: what an older one still sends home is dropped
  #running = new AbortController(); // the ranking under way; a newer one makes it worthless
  #posts = Promise.resolve(); // feedback on its way, in the order in which it was given
  #pending = 0;
  #outdated = false; // whether something was said that the ranking does not know yet

  /** `changed(what)` is called with "busy", "searched", "reranked", "more", "marked" or "problem". */
  constructor(changed) {
    this.#changed = changed;
    this.reset();
  }

  reset() {
    this.#running.abort();
    this.#query = {};
    this.#pending = 0;
    this.#outdated = false;
    this.answer = null; // the newest answer of the server
    this.hits = []; // every hit that is shown, pages joined
    this.marks = new Map(); // document -> "relevant" | "not_relevant" | "click"
    this.titles = new Map(); // document -> title, for marked documents that left the list
    this.trail = []; // the rounds so far, with what had been said by then
    this.#past = [];
    this.#told = [];
    this.busy = null; // "search" | "rerank" | "more" while the server ranks
    this.problem = null;
  }

  get queryId() {
    return this.answer?.query_id ?? null;
  }

  get hasMore() {
    return this.answer !== null && this.#next < this.answer.total;
  }

  /** Where the next page begins. Not the number of hits: documents deleted since they were ranked leave gaps. */
  get #next() {
    return this.answer.offset + this.answer.limit;
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  /**
   * Rank anew; without a pipeline the server chooses. With the id of the same question's earlier query its feedback
   * counts, if the server still knows it, and `again` is what ranks it.
   */
  async search({ q, index, pipeline, filter, feedback = [] }, queryId = null, again = pipeline) {
    this.reset();
    this.#open = !pipeline;
    const fresh = { query: q, index, pipeline, filter, feedback };
    const resumed = { query_id: queryId, pipeline: again };
    await this.#run("search", async (ask) => {
      if (!queryId) return ask(fresh);
      return ask(resumed).catch((problem) => (problem.status === 404 ? ask(fresh) : Promise.reject(problem)));
    });
  }

  /** Rank again with all feedback so far, as many hits as are shown; by the same pipeline where none is named. */
  async rerank(pipeline = null) {
    this.#outdated = false;
    const limit = Math.min(MOST, Math.max(PAGE, this.hits.length));
    const feedback = [...this.#told];
    // Said is what the server has taken, or will never take; what did not arrive goes along with the next round.
    const said = () => (this.#told = this.#told.filter((one) => !feedback.includes(one)));
    await this.#run("rerank", (ask) =>
      ask({ query_id: this.queryId, pipeline, limit, feedback }).then(
        (answer) => (said(), answer),
        (problem) => (refused(problem) && said(), Promise.reject(problem)),
      ),
    );
  }

  /** The next page of the same ranking. */
  async more() {
    if (this.busy) return;
    await this.#run("more", (ask) => ask({ query_id: this.queryId, offset: this.#next }));
  }

  /**
   * Say something about a document: kind "relevant", "not_relevant", "click", or "none" to take it back. The list is
   * ranked again once the last event under way has arrived, if anything that was said is news.
   */
  mark(document, kind, details = {}) {
    const past = new Map(this.marks);
    const done = this.#say(document, kind, details);
    if (kind !== "click" || !past.has(document)) this.#past.push(past);
    return done;
  }

  /** Take back the last thing that was said. */
  undo() {
    if (this.canUndo) this.#restore(this.#past.pop());
  }

  /** Go back to what had been said by a round of the trail; that can be undone, too. */
  back({ marks }) {
    this.#past.push(new Map(this.marks));
    this.#restore(marks);
  }

  /** Say what has been said in another list, but for its clicks: those were not made on this one's page. */
  adopt(marks) {
    const judged = [...marks].filter(([, kind]) => kind !== "click");
    const clicked = [...this.marks].filter(([id, kind]) => kind === "click" && marks.get(id) === "click");
    this.#restore(new Map([...judged, ...clicked]));
  }

  /** Rank again with a click that was made in another list, which is not a click on this one's page. */
  hear(document) {
    this.#told.push({ document, relevance: 1, weight: CLICK });
    return this.rerank();
  }

  #restore(wanted) {
    for (const document of new Set([...this.marks.keys(), ...wanted.keys()])) {
      const [now, then] = [this.marks.get(document), wanted.get(document)];
      if (now === then) continue;
      if (then === undefined || (now !== undefined && then === "click")) this.#say(document, "none"); // a click gives way
      if (then !== undefined) this.#say(document, then);
    }
  }

  async #say(document, kind, details = {}) {
    const query = this.#query;
    const before = this.marks.get(document) ?? "none";
    this.problem = null;
    this.#outdated ||= this.#remember(document, kind);
    this.#pending += 1;
    this.#changed("marked");
    const event = { query_id: this.queryId, document, kind, ...details };
    const post = this.#posts.then(() => api.feedback(event));
    this.#posts = post.catch(() => {});
    const problem = await post.then(() => null, (error) => error);
    if (query !== this.#query) return;
    this.#pending -= 1;
    if (problem) {
      this.marks.delete(document);
      this.#remember(document, before);
      this.fail(problem);
    } else if (this.#pending === 0 && this.#outdated && !this.problem) await this.rerank();
  }

  /** Record a click while the page is being left: nothing is ranked again. */
  leave(document, details) {
    const event = { query_id: this.queryId, document, kind: "click", ...details };
    api.feedback(event, { keepalive: true }).catch(() => {});
  }

  /** Keep what was said; returns whether it is news. */
  #remember(document, kind) {
    // A click says less than a judgement and never replaces one.
    if (kind === "click" && this.marks.has(document)) return false;
    if (kind === "none") return this.marks.delete(document);
    this.marks.set(document, kind);
    return true;
  }

  async #run(what, ranking) {
    this.#running.abort();
    const running = (this.#running = new AbortController());
    const ask = (body) => api.search({ limit: PAGE, explain: true, session_id: visit(), ...body }, running.signal);
    this.busy = what;
    this.problem = null;
    this.#changed("busy");
    const [answer, problem] = await ranking(ask).then((value) => [value, null], (error) => [null, error]);
    if (running.signal.aborted) return;
    this.busy = null;
    if (problem) this.fail(problem);
    else this.#take(what, answer);
  }

  #take(what, answer) {
    this.hits = what === "more" ? [...this.hits, ...answer.hits] : answer.hits;
    for (const hit of answer.hits) this.titles.set(hit.id, hit.title || hit.id);
    this.answer = answer;
    if (this.#pending === 0) this.marks = new Map(given(answer).map((item) => [item.document, label(item)]));
    if (what !== "more") this.#remark(what, answer);
    this.#changed({ search: "searched", rerank: "reranked", more: "more" }[what]);
  }

  /** Add a round to the trail. */
  #remark(what, { query_id: id, round, pipeline }) {
    if (what === "search") this.trail = round > 1 ? kept.read(id) : [];
    this.trail.push({ round, pipeline, marks: new Map(this.marks), usual: round === 1 && this.#open });
    kept.write(id, this.trail);
  }

  /** Show a problem, also one that happened elsewhere on the page. */
  fail(problem) {
    this.problem = problem instanceof api.Problem ? problem : new api.Problem({ detail: String(problem) });
    this.#changed("problem");
  }
}
