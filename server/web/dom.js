// Building the page's nodes. Text from the server only ever becomes text nodes: no function here parses markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * One element. Properties: `on` maps event names to listeners, `data` becomes data-* attributes, true is an attribute
 * without a value; null, undefined and false are left out. Children are nodes or text; null and false are skipped.
 */
export function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (name === "data") Object.assign(node.dataset, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An icon of the sprite in search.html, hidden from assistive technology: the text beside it carries the meaning. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** Text for screen readers only. */
export const spoken = (text) => h("span", { class: "visually-hidden" }, text);

/**
 * `text` as nodes with the `[start, end)` ranges in <mark>. The server counts characters (code points); JavaScript
 * strings count UTF-16 units, so beyond the first emoji the two differ and the text is cut as an array of characters.
 */
export function highlighted(text, ranges) {
  const characters = Array.from(text);
  const nodes = [];
  let at = 0;
  for (const [start, end] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (start < at || end <= start) continue;
    if (start > at) nodes.push(characters.slice(at, start).join(""));
    nodes.push(h("mark", {}, characters.slice(start, end).join("")));
    at = end;
  }
  if (at < characters.length) nodes.push(characters.slice(at).join(""));
  return nodes;
}

/** "1 document", "2 documents". */
export const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

/** A time in milliseconds as people write it. */
export const milliseconds = (ms) => (ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms).toLocaleString("en")} ms`);
