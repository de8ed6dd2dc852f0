// The search page: connects its parts, and what people press with what it does.

import { act, share, undo } from "./acting.js";
import { follow, start, startOver, submit } from "./asking.js";
import { chooseIndex, choosePipeline } from "./choices.js";
import * as keys from "./keys.js";
import { clicked, leaveDocument } from "./opening.js";
import { $, beside, connect, filter, form, list, now, reader, session } from "./parts.js";
import { draw, drawBeside, showFilter } from "./view.js";

connect({ changed: draw, besideChanged: drawBeside, left: leaveDocument });

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
for (const name of ["index", "pipeline", "beside"]) form.elements[name].addEventListener("change", () => now.asked && submit());
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
$("#start-over").addEventListener("click", startOver);
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
    (beside.current ? beside : list).step(by);
    return true;
  },
  act(name) {
    const id = reader.document ?? list.current ?? beside.current;
    if (id) act(name, id, document.activeElement);
    return Boolean(id);
  },
});

addEventListener("popstate", follow);
addEventListener("pagehide", () => {
  if (reader.document && session.answer) session.leave(reader.document, clicked(reader.document, reader.dwell()));
});

start();
