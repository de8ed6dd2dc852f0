// The evaluation page: a list of runs, one run, one topic of it, or two runs beside each other. The address says which.

import { look } from "./api.js";
import { release } from "./charts.js";
import { h } from "./dom.js";
import * as reports from "./reports.js";

const view = document.querySelector("#view");
let newest = 0; // the number of the newest view: what an older one still brings is dropped

const path = (run, ...rest) => ["v1/evaluations", encodeURIComponent(run), ...rest].join("/");

/** What the address asks for: the nodes of the view, its title, and the way there. */
async function wanted(query) {
  const [run, topic] = [query.get("run"), query.get("topic")];
  if (query.get("compare")) {
    const [first, second] = query.getAll("compare");
    const found = await look("v1/evaluations:compare", { first, second, measure: query.get("measure") ?? "" });
    return { title: `${first} and ${second}`, way: [], nodes: reports.comparison(first, second, found) };
  }
  if (run && topic) {
    const rankers = query.getAll("ranker");
    const asked = { topic, collection: query.get("collection"), k: query.get("k"), depth: query.get("depth") };
    const [opened, found] = await Promise.all([look(path(run)), look(path(run, "topic"), asked, { ranker: rankers })]);
    return { title: `Topic ${topic}`, way: [[run, { run }]], nodes: reports.topic(opened, found, go) };
  }
  if (run) {
    const opened = await look(path(run));
    const [first, second] = chosen(opened, query);
    const measure = query.get("measure") ?? "";
    const topics = await look(path(run, "topics"), { first, second, measure });
    return { title: run, way: [], nodes: reports.run(opened, topics, go) };
  }
  return { title: "Evaluate", way: null, nodes: reports.list(await look("v1/evaluations"), go) };
}

/** The two rankers whose topics are shown: those of the address, or the best and the baseline. */
function chosen(run, query) {
  const best = Object.entries(run.means).sort(([, a], [, b]) => b - a).map(([name]) => name);
  const first = query.get("first") || best.find((name) => name !== run.baseline) || best[0];
  return [first, query.get("second") || run.baseline || best.at(-1)];
}

/** Show what the address asks for. */
async function follow({ focus = false } = {}) {
  const number = ++newest;
  document.body.dataset.busy = "look";
  const problem = (error) => ({
    title: error.title ?? "Something went wrong",
    way: [],
    nodes: [h("div", { class: "problem", role: "alert" }, h("strong", {}, error.title ?? ""), " ", error.message, " ", error.advice ?? "")],
  });
  const shown = await wanted(new URLSearchParams(location.search)).catch(problem);
  if (number !== newest) return;
  document.body.dataset.busy = "";
  document.title = `${shown.title} – Clickwise`;
  const steps = shown.way === null ? [] : [["Evaluate", {}], ...shown.way];
  document
    .querySelector("#trail")
    .replaceChildren(...steps.flatMap(([name, query]) => [reports.link(query, name), h("span", { "aria-hidden": "true" }, " / ")]));
  release(view);
  view.replaceChildren(h("div", { class: "page-head" }, h("h1", { tabindex: "-1" }, shown.title)), ...shown.nodes);
  document.querySelector("#announcer").textContent = shown.title;
  if (focus) view.querySelector("h1").focus({ preventScroll: true });
}

/** Go to another view; `stay` keeps the place on the page, for choices inside a view. */
function go(query, { stay = false } = {}) {
  history.pushState(null, "", reports.href(query));
  if (!stay) scrollTo(0, 0);
  return follow({ focus: !stay });
}

document.addEventListener("click", (event) => {
  const anchor = event.target.closest("a[data-view]");
  if (!anchor || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, "", anchor.href);
  scrollTo(0, 0);
  follow({ focus: true });
});
addEventListener("popstate", () => follow());
follow();
