// The operating page: asks the server how it does, and shows each answer in a card of its own.

import { look } from "./api.js";
import * as cards from "./cards.js";
import { release } from "./charts.js";
import { count, h } from "./dom.js";

const EVERY = 60_000; // milliseconds between looks while the page is in view
const form = document.querySelector("#look");
let newest = 0; // the number of the newest look: what an older one still brings is dropped

/** The cards, each with what it asks and how it shows the answer. One that fails leaves the others as they are. */
const CARDS = [
  ["#figures", ({ traffic, clicks }) => Promise.all([traffic, clicks]).then((both) => cards.figures(...both))],
  ["#searches", ({ traffic }) => traffic.then(cards.searches)],
  ["#latency", ({ traffic }) => traffic.then(cards.latency)],
  ["#feedback", ({ traffic }) => traffic.then(cards.feedback)],
  ["#quality", ({ clicks }) => clicks.then(cards.quality)],
  ["#ranks", ({ clicks }) => clicks.then(cards.ranks)],
  ["#propensity", ({ clicks }) => clicks.then(cards.propensity)],
  ["#experiments", () => Promise.all([look("v1/interleaving"), look("v1/experiments")]).then((both) => cards.experiments(...both))],
  ["#generations", ({ traffic }) => Promise.all([look("v1/indexes"), traffic, released()]).then((all) => cards.generations(...all))],
  ["#jobs", () => look("v1/jobs").then(cards.jobs)],
  ["#errors", () => look("v1/operation/errors").then(cards.errors)],
];

/** What was activated: only for keys that may administer. */
const released = () => look("admin/releases").catch((problem) => (problem.status === 403 ? { releases: [] } : Promise.reject(problem)));

async function refresh() {
  const number = ++newest;
  document.body.dataset.busy = "look";
  const query = { index: form.elements.index.value, days: form.elements.days.value };
  const asked = { traffic: look("v1/operation/traffic", query), clicks: look("v1/operation/clicks", query) };
  for (const promise of Object.values(asked)) promise.catch(() => {}); // each card tells of it
  await Promise.all(CARDS.map(([where, bring]) => fill(number, document.querySelector(where), bring(asked))));
  if (number !== newest) return;
  document.body.dataset.busy = "";
  document.querySelector("#updated").textContent = `As of ${new Date().toLocaleTimeString()}`;
}

async function fill(number, section, bringing) {
  const nodes = await bringing.catch((problem) => [
    h("div", { class: "problem" }, h("strong", {}, problem.title), " ", problem.message, " ", problem.advice ?? ""),
  ]);
  if (number !== newest) return;
  const body = section.querySelector(".card-body") ?? section;
  const open = [...body.querySelectorAll("details")].map((one) => one.open);
  release(body);
  body.replaceChildren(...nodes);
  body.querySelectorAll("details").forEach((one, place) => (one.open = open[place] ?? false));
}

/** The address keeps what is looked at. */
function remember() {
  const query = new URLSearchParams();
  for (const name of ["index", "days"]) {
    const select = form.elements[name];
    if (select.value && !select.selectedOptions[0].defaultSelected) query.set(name, select.value);
  }
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
}

async function start() {
  const { indexes } = await look("v1/indexes").catch(() => ({ indexes: [] }));
  form.elements.index.append(
    ...indexes.map(({ name, documents }) => h("option", { value: name }, `${name} (${count(documents, "document")})`)),
  );
  const wanted = new URLSearchParams(location.search);
  for (const name of ["index", "days"]) {
    const select = form.elements[name];
    const found = [...select.options].find((option) => option.value === wanted.get(name));
    if (found) select.value = found.value;
  }
  await refresh();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  refresh();
});
form.addEventListener("change", () => {
  remember();
  refresh();
});
setInterval(() => !document.hidden && !document.querySelector("dialog[open]") && refresh(), EVERY);
start();
