// The two selectors: which index is searched, and by which pipeline it is ranked.

import * as api from "./api.js";
import { h } from "./dom.js";

const EXAMPLES_FOR = "python"; // the index that `clickwise index build --python-docs` makes

const named = (name) => document.querySelector(`#${name}`);
const selects = { index: named("index"), pipeline: named("pipeline"), beside: named("beside") };
const offered = { indexes: [], pipelines: [] };

/** The names chosen, also where they are the defaults; empty where the server has not said what there is. */
export const chosen = {
  get index() {
    return selects.index.selectedOptions[0]?.dataset.name ?? "";
  },
  get pipeline() {
    return selects.pipeline.selectedOptions[0]?.dataset.name ?? "";
  },
};

/** The default one has no value, so that it stays out of the address. */
const option = (name, isDefault, label = name, title = null) =>
  h("option", { value: isDefault ? "" : name, title, data: { name } }, label);

/** Offer `options` in a <select> and choose `name`; empty is the default, or the first. An unknown name is offered too. */
function offer(select, options, name) {
  const named = options.findIndex((one) => (name ? one.dataset.name === name : one.value === ""));
  if (named < 0 && name) options.push(option(name, false));
  select.replaceChildren(...options);
  select.selectedIndex = named >= 0 ? named : name ? options.length - 1 : 0;
}

export function chooseIndex(name) {
  const label = (one) => `${one.name} (${one.documents.toLocaleString("en")})`;
  const standard = offered.indexes.find((one) => one.default) ?? offered.indexes[0]; // what an address without one means
  offer(selects.index, offered.indexes.map((one) => option(one.name, one === standard, label(one))), name);
  document.querySelector("#examples").hidden = chosen.index !== EXAMPLES_FOR;
}

/** Offer the pipelines that work on the chosen index, each index having its own default. */
export function choosePipeline(name) {
  const working = offered.pipelines.filter((one) => chosen.index in one.indexes);
  const isDefault = (one) => one.default_for.includes(chosen.index);
  offer(selects.pipeline, working.map((one) => option(one.name, isDefault(one), one.name, one.description)), name);
  selects.pipeline.title = selects.pipeline.selectedOptions[0]?.title ?? "";
}

/** Offer the pipelines whose ranking can stand beside; empty is none. */
export function chooseBeside(name) {
  const working = offered.pipelines.filter((one) => chosen.index in one.indexes);
  const options = working.map((one) => option(one.name, false, `beside ${one.name}`, one.description));
  offer(selects.beside, [h("option", { value: "", data: { name: "" } }, "one ranking"), ...options], name);
}

/** Ask the server what there is; raises a Problem where it does not say. */
export async function loadChoices() {
  [offered.indexes, offered.pipelines] = await Promise.all([api.indexes(), api.pipelines()]);
}
