// Charts by Vega-Lite, in the page's own colours. The library is fetched when the first chart comes into view; every
// chart has its numbers beside it as a table.

import { h } from "./dom.js";

const LIBRARY = "vendor/vega.js";
const HEIGHT = 210;
const COLOURS = 6; // --chart-1 and so on, in style.css

let library = null;

/** The library, fetched once; a failed fetch may be tried again. */
function load() {
  library ??= new Promise((resolve, reject) => {
    const failed = () => {
      library = null;
      reject(new Error("The charts cannot be drawn; the tables hold the same numbers."));
    };
    document.head.append(h("script", { src: LIBRARY, on: { load: () => resolve(window.vegaEmbed), error: failed } }));
  });
  return library;
}

const drawn = new Map(); // container -> {spec, view}
const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => drawn.forEach((one, container) => one.view && render(container)));

const seen = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      render(target);
    }
  },
  { rootMargin: "200px" },
);

/** How Vega draws: fonts and colours are those of the page's stylesheet. */
function config() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const [ink, muted, line] = ["--ink", "--muted", "--line"].map(colour);
  return {
    background: "transparent",
    font: getComputedStyle(document.body).fontFamily,
    view: { stroke: null },
    axis: {
      labelColor: muted, titleColor: muted, gridColor: line, domainColor: line, tickColor: line,
      labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal", labelOverlap: "greedy", labelSeparation: 14,
    },
    legend: { disable: true }, // the page has one
    range: { category: Array.from({ length: COLOURS }, (_, n) => colour(`--chart-${n + 1}`)) },
    mark: { color: colour("--chart-1"), tooltip: true },
    line: { strokeWidth: 2 },
    point: { filled: true, size: 40 },
    rule: { color: ink },
  };
}

async function render(container) {
  const one = drawn.get(container);
  if (!one) return;
  try {
    const embed = await load();
    one.view?.finalize();
    one.view = await embed(container, one.spec, {
      mode: "vega-lite",
      ast: true, // expressions are interpreted: the page forbids code made from text
      config: config(),
      renderer: "svg",
      actions: false,
      defaultStyle: false, // style.css has the few rules that are needed
      tooltip: { disableDefaultStyle: true },
    });
    container.dataset.drawn = "";
  } catch (error) {
    container.replaceChildren(h("p", { class: "quiet-text" }, error.message));
  }
}

/** Forget the charts inside a part of the page that is about to be replaced. */
export function release(part) {
  for (const [container, { view }] of drawn) {
    if (!part.contains(container)) continue;
    seen.unobserve(container);
    view?.finalize();
    drawn.delete(container);
  }
}

/**
 * A table: `columns` are {name, text(row), kind}, where kind is null, "number" or "long" (text that may wrap). It scrolls
 * inside its card where that is too narrow; one that `stacks` shows each row as a list there instead.
 */
export function table(caption, columns, rows, { stacks = false } = {}) {
  const role = (name) => (stacks ? name : null); // as a list it is still a table to those who hear it
  const head = columns.map(({ name, kind }) => h("th", { scope: "col", class: kind, role: role("columnheader") }, name));
  const cell = (row, { name, text, kind }, place) => {
    const shared = { class: kind, data: stacks ? { name } : {} };
    return place
      ? h("td", { ...shared, role: role("cell") }, h("span", {}, text(row)))
      : h("th", { ...shared, scope: "row", role: role("rowheader") }, h("span", {}, text(row)));
  };
  const line = (cells) => h("tr", { role: role("row") }, cells);
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
    h(
      "table",
      { class: stacks ? "stacks" : null, role: role("table") },
      h("caption", { class: "visually-hidden" }, caption),
      h("thead", { role: role("rowgroup") }, line(head)),
      h("tbody", { role: role("rowgroup") }, rows.map((row) => line(columns.map((column, place) => cell(row, column, place))))),
    ),
  );
}

/** The values of a field as Vega orders them, with their places among the colours or dashes. */
const values = (rows, { field, sort }) => {
  const found = [...new Set(rows.map((row) => String(row[field])))];
  return sort === null ? found : found.sort();
};

/** What colours and dashes mean. In words of the page, because those of a chart are cut where it is narrow. */
function legend({ color, strokeDash }, rows) {
  const entry = (kind, number, words) => {
    const key = h("span", { class: `key ${kind}` });
    key.style.setProperty("--key", `var(--chart-${(number % COLOURS) + 1})`); // as an attribute the policy forbids it
    return h("li", {}, key, words);
  };
  const coloured = color ? values(rows, color).map((value, number) => entry("colour", number, value)) : [];
  const dashed = strokeDash ? values(rows, strokeDash).map((value, number) => entry(number ? "dashed" : "line", 5, value)) : [];
  const title = color?.title ? [h("li", { class: "legend-title" }, `${color.title}:`)] : [];
  return h("ul", { class: "legend" }, title, coloured, dashed);
}

/**
 * A chart with its numbers. `spec` is Vega-Lite without data and sizes; `rows` are both its data and the table's.
 * Without `numbers` a table elsewhere has them.
 */
export function chart(label, spec, columns, rows, { numbers = true } = {}) {
  const container = h("div", { class: "chart", "aria-hidden": "true" });
  const size = { width: "container", height: HEIGHT, autosize: { type: "fit-x", contains: "padding" } };
  drawn.set(container, { spec: { ...size, data: { values: rows }, ...spec }, view: null });
  seen.observe(container);
  return h(
    "figure",
    { "aria-label": label },
    spec.encoding.color && legend(spec.encoding, rows),
    container,
    numbers && h("details", { class: "numbers" }, h("summary", {}, "The numbers"), table(label, columns, rows)),
  );
}
