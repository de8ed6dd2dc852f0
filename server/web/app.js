// The search page: wires the session (what is known), the views (what is shown) and the address (what is asked).

import * as address from "./address.js";
import { Beside } from "./beside.js";
import { chooseBeside, chooseIndex, choosePipeline, chosen, loadChoices } from "./choices.js";
import { count, h } from "./dom.js";
import { HitList } from "./hits.js";
import * as keys from "./keys.js";
import { drawAbout, drawFeedback, movedText, statusLine } from "./panel.js";
import { Reader } from "./reader.js";
import { Session } from "./session.js";

const $ = (selector) => document.querySelector(selector);
const form = $("#search");
const filter = $("#filter");
const list = new HitList($("#hits"));
const session = new Session(draw);
const beside = new Beside(session, drawBeside);
const reader = new Reader($("#reader"), leaveDocument);
let openedBeside = false; // whether the open document was opened from the second list
let asked = null; // the address whose ranking is shown; null on the start page

// ---------------------------------------------------------------- drawing

/** Bring the page in line with the session, after the event `what`. */
function draw(what) {
  const { answer, busy } = session;
  document.body.dataset.view = asked ? "results" : "home";
  document.body.dataset.busy = busy ?? "";
  $("#hits").setAttribute("aria-busy", String(busy !== null));
  $("#reader-judges").hidden = !answer; // without a query there is nothing to judge for
  drawProblem();
  if (what === "busy" && answer) return;
  for (const part of ["#status", "#feedback", "#about"]) $(part).hidden = !answer;
  $("#nothing").hidden = !answer || answer.total > 0;
  $("#more").hidden = !session.hasMore;
  $("#notices").replaceChildren(...notices(answer).map((text) => h("p", { class: "notice" }, text)));
  if (!answer) return list.clear();
  drawBeside();
  $("#status").textContent = statusLine(session);
  drawFeedback($("#feedback"), session);
  drawAbout($("#about dl"), answer);
  if (reader.document) reader.mark(session.marks.get(reader.document));
  return afterwards(what);
}

/** Both lists, each with where the other has its documents. */
function drawBeside() {
  if (session.answer) list.draw(session, beside.other);
  beside.draw();
}

/** What a change means for the address, the focus and for those who listen to the page. */
function afterwards(what) {
  const { answer, hits } = session;
  if (what === "searched") {
    address.remember({ queryId: answer.query_id });
    announce(`${count(answer.total, "result")} for ${answer.query}`);
  } else if (what === "reranked") {
    announce(`Re-ranked: ${movedText(hits)}`);
    const focused = document.activeElement;
    if (list.current && focused.matches(":focus-visible")) focused.closest(".hit").scrollIntoView({ block: "nearest" });
  } else if (what === "more") {
    announce(`${count(hits.length, "result")} shown`);
    list.focus(answer.hits[0]?.id);
  }
}

function announce(text) {
  $("#announcer").textContent = text;
}

function drawProblem() {
  const { problem } = session;
  $("#problem").hidden = !problem;
  filter.setAttribute("aria-invalid", String(problem?.field === "filter"));
  if (!problem) return;
  if (problem.field === "filter") showFilter(true);
  $("#retry").hidden = problem.status >= 400 && problem.status < 500; // the same request would fail again
  $("#problem-title").textContent = problem.title;
  $("#problem-detail").textContent = [problem.detail, problem.advice].filter(Boolean).join(" ");
}

function notices(answer) {
  if (!answer) return [];
  const degraded = answer.degraded ? [`This ranking is simpler than asked for (${answer.degraded}).`] : [];
  return [...degraded, ...answer.warnings];
}

// ---------------------------------------------------------------- the address: searches and open documents

/** Do what the address says: rank where it asks for another ranking, open or close the reader. */
function follow() {
  const wanted = address.read();
  if (!wanted.doc) reader.close(); // first: reading that document was a click on the ranking that is about to go
  if (wanted.q === null) {
    asked = null;
    session.reset();
    beside.search({}, "");
    draw("home");
    form.elements.q.focus();
  }
  form.elements.q.value = wanted.q ?? "";
  filter.value = wanted.filter;
  showFilter(wanted.filter !== "");
  chooseIndex(wanted.index);
  choosePipeline(wanted.pipeline);
  chooseBeside(wanted.beside);
  if (wanted.q !== null && !address.sameSearch(asked, wanted)) rank(wanted, history.state?.queryId ?? null);
  else if (wanted.q !== null && asked.beside !== wanted.beside) {
    asked = wanted;
    compare(wanted);
  }
  document.title = wanted.q ? `${wanted.q} – Clickwise` : "Clickwise";
  if (wanted.doc && wanted.doc !== reader.document) read(wanted.doc);
}

/** Rank for an address: anew, or where its query is the one at hand, in place. */
function rank(wanted, queryId) {
  const atHand = queryId !== null && queryId === session.queryId && address.sameQuestion(asked, wanted);
  const compared = atHand && asked.beside === wanted.beside;
  const feedback = address.brought(); // by a shared link; from here on the query itself knows it
  if (feedback.length) address.replace(wanted);
  asked = wanted;
  // By name also where these are the defaults: with an earlier query's id, no name means the pipeline used last.
  const { index, pipeline } = chosen;
  const ranking = atHand ? session.rerank(pipeline) : session.search({ ...wanted, index, pipeline, feedback }, queryId);
  if (!compared) ranking.then(() => asked === wanted && compare(wanted));
}

/** Rank the same question by the pipeline that is to stand beside, if any. */
const compare = (wanted) => beside.search({ q: wanted.q, filter: wanted.filter, index: chosen.index }, wanted.beside);

/** Search for what the form says. The same question again, also by another pipeline, keeps the feedback. */
function submit() {
  const fields = form.elements;
  const [q, index, pipeline, second] = ["q", "index", "pipeline", "beside"].map((name) => fields[name].value);
  const wanted = { q, index, pipeline, beside: second, filter: filter.value };
  if (matchMedia("(pointer: coarse)").matches) fields.q.blur();
  const repeated = address.sameSearch(asked, wanted) && asked.beside === wanted.beside;
  if (repeated && session.answer) return session.rerank();
  if (repeated) asked = null; // it failed: try again
  else address.push(wanted, address.sameQuestion(asked, wanted) ? { queryId: session.queryId } : {});
  return follow();
}

/** Open a document; the back button closes it. */
function open(id) {
  address.push({ ...address.read(), doc: id }, { ...history.state, opened: true });
  read(id);
}

function read(id) {
  const hit = (openedBeside && beside.hit(id)) || session.hits.find((one) => one.id === id);
  reader.open(id, { index: chosen.index, mark: session.marks.get(id), title: hit?.title, snippet: hit?.snippet });
}

const clicked = (id, dwell) => ({ position: session.hits.find((hit) => hit.id === id)?.rank, dwell_ms: dwell });

/** The reader was closed: that is the click, with the time spent reading. */
function leaveDocument(id, dwell) {
  const here = address.read();
  if (here.doc === id) {
    if (history.state?.opened) history.back();
    else address.replace({ ...here, doc: "" });
  }
  list.focus(id);
  if (!session.answer) return;
  if (openedBeside) beside.click(id, { position: beside.hit(id)?.rank, dwell_ms: dwell }, true);
  else {
    session.mark(id, "click", clicked(id, dwell));
    beside.click(id, null, false);
  }
}

// ---------------------------------------------------------------- narrowing

function showFilter(on) {
  $("#filter-row").hidden = !on;
  $("#filter-toggle").setAttribute("aria-expanded", String(on));
}

/** Narrow the search to the documents that carry a tag; `json` is its value. Filters are written as in Python. */
function addFilter(name, json) {
  const field = /^[A-Za-z_]\w*$/.test(name) ? name : `field(${JSON.stringify(name)})`;
  const clause = `${field} == ${{ true: "True", false: "False" }[json] ?? json}`;
  filter.value = filter.value ? `(${filter.value}) and ${clause}` : clause;
  submit();
}

// ---------------------------------------------------------------- events

/** What a control of a document does; `act` is its data-act. */
function act(name, id, control = null) {
  const second = control !== null && beside.owns(control);
  if (name === "open") {
    openedBeside = second;
    open(id);
  }
  else if (name === "show") list.focus(id) || open(id);
  else if (name === "tag") addFilter(control.dataset.name, control.dataset.value);
  else if (name === "why") {
    (second ? beside : list).toggleWhy(id);
    drawBeside();
  } else if (session.answer) {
    const kind = session.marks.get(id) === name ? "none" : name; // pressed again: taken back
    session.mark(id, kind, { position: clicked(id).position });
    beside.adopt();
  }
}

function undo() {
  session.undo();
  beside.adopt();
}

/** Show the link to this search with its feedback, and copy it where the browser lets the page do so. */
async function share() {
  const link = $("#share-link");
  link.value = address.shared(session.marks);
  link.hidden = false;
  link.select();
  const copied = await navigator.clipboard?.writeText(link.value).then(() => true, () => false);
  announce(copied ? "The link is copied." : "The link is selected: copy it.");
  $("#share").textContent = copied ? "Link copied" : "Copy this link:";
}

document.addEventListener("click", (event) => {
  const control = event.target.closest("[data-act]");
  const id = control && (control.closest("[data-id]")?.dataset.id ?? reader.document);
  const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey; // a link in a new tab is the browser's affair
  if (!control || elsewhere) return;
  event.preventDefault();
  act(control.dataset.act, id, control);
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
form.elements.index.addEventListener("change", (event) => {
  chooseIndex(event.target.value);
  choosePipeline(form.elements.pipeline.value);
});
for (const name of ["index", "pipeline", "beside"]) form.elements[name].addEventListener("change", () => asked && submit());
$("#filter-toggle").addEventListener("click", () => {
  showFilter($("#filter-row").hidden || filter.value !== ""); // a filter at work is not hidden
  filter.focus();
});
$("#undo").addEventListener("click", undo);
$("#share").addEventListener("click", share);
$("#rounds").addEventListener("click", (event) => {
  const step = event.target.closest("[data-step]")?.dataset.step;
  if (step === undefined) return;
  session.back(session.trail[step]);
  beside.adopt();
});
$("#more").addEventListener("click", () => session.more());
$("#start-over").addEventListener("click", () => {
  address.remember({ queryId: null });
  asked = null;
  follow();
});
$("#retry").addEventListener("click", () => (session.answer ? session.rerank() : start()));
for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", () => {
    form.elements.q.value = example.textContent;
    submit();
  });
}
for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
$("#help-button").addEventListener("click", () => $("#help").showModal());
$("#shortcuts").addEventListener("change", (event) => keys.enable(event.target.checked));
$("#shortcuts").checked = keys.enabled();

keys.listen({
  search() {
    if (reader.document) return false;
    form.elements.q.focus();
    form.elements.q.select();
    return true;
  },
  help() {
    if (!document.querySelector("dialog[open]")) $("#help").showModal();
    return true;
  },
  undo() {
    if (!session.canUndo || document.querySelector("dialog[open]")) return false;
    undo();
    return true;
  },
  step(by) {
    if (document.querySelector("dialog[open]") || !session.hits.length) return false;
    list.step(by);
    return true;
  },
  act(name) {
    const id = reader.document ?? list.current;
    if (id) act(name, id);
    return Boolean(id);
  },
});

addEventListener("popstate", follow);
addEventListener("pagehide", () => {
  if (reader.document && session.answer) session.leave(reader.document, clicked(reader.document, reader.dwell()));
});

/** Begin, or begin again. A server that is still warming up is asked again every second. */
async function start() {
  if (address.read().q === null) form.elements.q.focus();
  const problem = await loadChoices().then(() => null, (error) => error);
  asked = null;
  if (!problem) return follow();
  session.fail(problem);
  if (problem.status === 503) setTimeout(start, 1000);
}

start();
