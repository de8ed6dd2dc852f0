// What is asked: the form and the address, each brought in line with the other, and the ranking with both.

import * as address from "./address.js";
import { chooseBeside, chooseIndex, choosePipeline, chosen, loadChoices } from "./choices.js";
import { read } from "./opening.js";
import { beside, filter, form, now, reader, session } from "./parts.js";
import { usual } from "./session.js";
import { draw, showFilter } from "./view.js";

/** Do what the address says: rank where it asks for another ranking, open or close the reader. */
export function follow() {
  const wanted = address.read();
  if (!wanted.doc) reader.close(); // first: reading that document was a click on the ranking that is about to go
  if (wanted.q === null) {
    now.asked = null;
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
  if (wanted.q !== null && !address.sameSearch(now.asked, wanted)) rank(wanted, history.state?.queryId ?? null);
  else if (wanted.q !== null && now.asked.beside !== wanted.beside) {
    now.asked = wanted;
    compare(wanted);
  }
  document.title = wanted.q ? `${wanted.q} – Clickwise` : "Clickwise";
  if (wanted.doc && wanted.doc !== reader.document) read(wanted.doc);
}

/** Rank for an address: anew, or where its query is the one at hand, in place. */
function rank(wanted, queryId) {
  const atHand = queryId !== null && queryId === session.queryId && address.sameQuestion(now.asked, wanted);
  const compared = atHand && now.asked.beside === wanted.beside;
  const feedback = address.brought(); // by a shared link; from here on the query itself knows it
  if (feedback.length) address.replace(wanted);
  now.asked = wanted;
  // A new question names no pipeline where none is chosen, so that it may take part in an experiment. With an earlier
  // query's id no name would mean the pipeline used last.
  const again = wanted.pipeline || usual(queryId, chosen.pipeline);
  const asked = { ...wanted, index: chosen.index, feedback };
  const ranking = atHand ? session.rerank(again) : session.search(asked, queryId, again);
  if (!compared) ranking.then(() => now.asked === wanted && compare(wanted));
}

/** Rank the same question by the pipeline that is to stand beside, if any. */
const compare = (wanted) => beside.search({ q: wanted.q, filter: wanted.filter, index: chosen.index }, wanted.beside);

/** Search for what the form says. The same question again, also by another pipeline, keeps the feedback. */
export function submit() {
  const fields = form.elements;
  const [q, index, pipeline, second] = ["q", "index", "pipeline", "beside"].map((name) => fields[name].value);
  const wanted = { q, index, pipeline, beside: second, filter: filter.value };
  if (matchMedia("(pointer: coarse)").matches) fields.q.blur();
  const repeated = address.sameSearch(now.asked, wanted) && now.asked.beside === wanted.beside;
  if (repeated && session.answer) return session.rerank();
  if (repeated) now.asked = null; // it failed: try again
  else address.push(wanted, address.sameQuestion(now.asked, wanted) ? { queryId: session.queryId } : {});
  return follow();
}

/** Narrow the search to the documents that carry a tag; `json` is its value. Filters are written as in Python. */
export function addFilter(name, json) {
  const field = /^[A-Za-z_]\w*$/.test(name) ? name : `field(${JSON.stringify(name)})`;
  const clause = `${field} == ${{ true: "True", false: "False" }[json] ?? json}`;
  filter.value = filter.value ? `(${filter.value}) and ${clause}` : clause;
  submit();
}

/** Forget what was said, and ask the same anew. */
export function startOver() {
  address.remember({ queryId: null });
  now.asked = null;
  follow();
}

/** Begin, or begin again. A server that is still warming up is asked again every second. */
export async function start() {
  if (address.read().q === null) form.elements.q.focus();
  const problem = await loadChoices().then(() => null, (error) => error);
  now.asked = null;
  if (!problem) return follow();
  session.fail(problem);
  if (problem.status === 503) setTimeout(start, 1000);
}
