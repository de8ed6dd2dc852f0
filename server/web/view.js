// What the search page shows of its session: lists, notices, problems, and what is said to those who listen to it.

import * as address from "./address.js";
import { count, h } from "./dom.js";
import { drawAbout, drawFeedback, movedText, statusLine } from "./panel.js";
import { $, beside, filter, list, now, reader, session } from "./parts.js";
import { refused } from "./session.js";

/** Bring the page in line with the session, after the event `what`. */
export function draw(what) {
  const { answer, busy } = session;
  document.body.dataset.view = now.asked ? "results" : "home";
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
export function drawBeside() {
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

export function announce(text) {
  $("#announcer").textContent = text;
}

function drawProblem() {
  const { problem } = session;
  $("#problem").hidden = !problem;
  filter.setAttribute("aria-invalid", String(problem?.field === "filter"));
  if (!problem) return;
  if (problem.field === "filter") showFilter(true);
  $("#retry").hidden = refused(problem);
  $("#problem-title").textContent = problem.title;
  $("#problem-detail").textContent = [problem.detail, problem.advice].filter(Boolean).join(" ");
}

function notices(answer) {
  if (!answer) return [];
  const degraded = answer.degraded ? [`This ranking is simpler than asked for (${answer.degraded}).`] : [];
  return [...degraded, ...answer.warnings];
}

/** Show the field for a condition, or hide it. */
export function showFilter(on) {
  $("#filter-row").hidden = !on;
  $("#filter-toggle").setAttribute("aria-expanded", String(on));
}
