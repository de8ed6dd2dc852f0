// What the views of the evaluation page show: each function turns answers of the server into nodes.

import { chart, table } from "./charts.js";
import { count, h } from "./dom.js";
import * as specs from "./specs.js";

const three = (value) => value.toFixed(3);
const signed = (value) => `${value > 0 ? "+" : ""}${three(value)}`;
const p = (value) => (value < 0.001 ? "p < .001" : `p = ${three(value).replace(/^0/, "")}`);
const number = (name, text) => ({ name, text, kind: "number" });
const text = (name, of, kind = null) => ({ name, text: of, kind });

/** The address of a view; values may be lists. */
export function href(query) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "") given.append(name, one);
  }
  return given.size ? `evaluate?${given}` : "evaluate";
}

export const link = (query, ...content) => h("a", { href: href(query), data: { view: "" } }, ...content);

const card = (title, ...nodes) => h("section", { class: "card" }, h("h2", {}, title), ...nodes);

/** A <select> of names with a label; `changed` is told the new one. */
function select(label, names, value, changed) {
  const options = names.map((name) => h("option", { value: name, selected: name === value }, name));
  return h("label", { class: "field" }, label, h("select", { "aria-label": label, on: { change: (event) => changed(event.target.value) } }, options));
}

/** A table of the server: marks say what is beyond chance, the best of a column stands out. */
function shownTable({ caption, notes, columns, rows }) {
  const cell = (place) => (row) => {
    const { text: shown, mark, bold } = row[place];
    const content = [bold ? h("strong", {}, shown) : shown];
    if (mark) content.push(h("span", { class: `mark-text ${mark.startsWith("-") ? "down" : "up"}` }, ` ${mark}`));
    return h("span", {}, content);
  };
  const made = columns.map(({ name, number: isNumber }, place) => ({ name, text: cell(place), kind: isNumber ? "number" : null }));
  return [table(caption, made, rows), ...notes.map((note) => h("p", { class: "quiet-text note" }, note))];
}

/** All runs, and two of them to compare. */
export function list({ folder, runs }, go) {
  if (!runs.length) {
    return [
      h(
        "p",
        { class: "empty" },
        "There is no run in ", h("code", {}, folder), ". Make one with ", h("code", {}, "clickwise eval run"),
        ", or name another folder with the setting ", h("code", {}, "evaluations"), ".",
      ),
    ];
  }
  const best = ({ means }) => Object.entries(means).sort(([, a], [, b]) => b - a)[0];
  const columns = [
    text("Run", (row) => link({ run: row.run }, row.run)),
    text("Made", (row) => row.created),
    text("Best ranker", (row) => best(row)[0]),
    number("Mean", (row) => three(best(row)[1])),
    text("Measure", (row) => row.measure),
    number("Rankers", (row) => Object.keys(row.means).length),
    text("Topics", (row) => Object.entries(row.topics).map(([name, n]) => `${name} ${n}`).join(", "), "long"),
  ];
  const nodes = [card(count(runs.length, "run"), table("Runs", columns, runs))];
  if (runs.length > 1) {
    const names = runs.map(({ run: name }) => name);
    const pair = [names[0], names[1]];
    const submit = (event) => {
      event.preventDefault();
      go({ compare: pair });
    };
    nodes.push(
      card(
        "Compare two runs",
        h(
          "form",
          { class: "row", on: { submit } },
          select("Run", names, pair[0], (name) => (pair[0] = name)),
          select("with", names, pair[1], (name) => (pair[1] = name)),
          h("button", { class: "button primary", type: "submit" }, "Compare"),
        ),
      ),
    );
  }
  return nodes;
}

/** The run in one sentence, with its uncertainty. */
function finding({ means, measure, best_of_ours: ours, best_of_paper: paper, gain, gain_interval: interval, gain_p: value }) {
  if (gain === null) {
    const [name, mean] = Object.entries(means).sort(([, a], [, b]) => b - a)[0];
    return `The highest mean ${measure} has ${name}: ${three(mean)}.`;
  }
  const sure = `${signed(gain)} (${signed(interval[0])} to ${signed(interval[1])}, ${p(value)})`;
  return `The best of ours, ${ours}, has a mean ${measure} of ${three(means[ours])}; against ${paper}, the best of the paper's methods: ${sure}.`;
}

const MAIN = ["main", "comparisons"];

/** One run: what it found, its tables, and two of its rankers topic by topic. */
export function run(opened, topics, go) {
  const { tables } = opened;
  const first = tables.filter(({ name }) => MAIN.includes(name));
  const others = tables.filter(({ name }) => !MAIN.includes(name));
  return [
    opened.description && h("p", { class: "quiet-text" }, opened.description),
    h("p", { class: "finding" }, finding(opened)),
    h("p", { class: "quiet-text" }, `Made ${opened.created}; baseline ${opened.baseline || "none"}.`),
    ...first.map((one) => card(one.caption, one.name === "comparisons" ? differences(one) : null, ...shownTable(one))),
    byTopic(opened, topics, go),
    ...others.map((one) => card(one.caption, ...shownTable(one))),
  ].filter(Boolean);
}

/** The table of comparisons as intervals about zero. */
function differences({ columns, rows }) {
  const at = Object.fromEntries(columns.map(({ name }, place) => [name, place]));
  const several = new Set(rows.map((row) => row[at.collection].text)).size > 1;
  const values = rows.map((row) => ({
    name: several ? `${row[at.ranker].text}, ${row[at.collection].text}` : row[at.ranker].text,
    difference: row[at.difference].value,
    low: row[at.low].value,
    high: row[at.high].value,
  }));
  return plotted("Differences from the baseline", "difference", values);
}

const plotted = (label, title, values) =>
  chart(
    label,
    specs.intervals("difference", "name", title, values.length),
    [
      text("Ranker", (row) => row.name),
      number("Difference", (row) => signed(row.difference)),
      number("Low", (row) => signed(row.low)),
      number("High", (row) => signed(row.high)),
    ],
    values,
    { numbers: false }, // the table with all figures stands below
  );

/** Two rankers topic by topic: what each topic gains, and a link to look at it. */
function byTopic(opened, { measure, first, second, topics }, go) {
  const choose = (change) => go({ run: opened.run, first, second, measure, ...change }, { stay: true });
  const rows = topics.map((row, place) => ({ ...row, place: place + 1, better: row.difference >= 0 ? first : second }));
  const open = ({ collection, topic: id }) => ({ run: opened.run, collection, topic: id, ranker: [first, second] });
  const columns = [
    text("Topic", (row) => link(open(row), row.topic)),
    text("Asked", (row) => row.query, "long"),
    text("Collection", (row) => row.collection),
    number(first, (row) => three(row.first)),
    number(second, (row) => three(row.second)),
    number("Difference", (row) => signed(row.difference)),
  ];
  const [won, lost] = [rows.filter((row) => row.difference > 0).length, rows.filter((row) => row.difference < 0).length];
  return card(
    "Topic by topic",
    h(
      "div",
      { class: "row" },
      select("Ranker", opened.rankers, first, (name) => choose({ first: name })),
      select("against", opened.rankers, second, (name) => choose({ second: name })),
      select("Measure", opened.measures, measure, (name) => choose({ measure: name })),
    ),
    h("p", { class: "quiet-text" }, `${first} is better on ${won} of ${count(rows.length, "topic")} and worse on ${lost}.`),
    chart(`${measure} by topic: ${first} less ${second}`, specs.gains, columns, rows),
  );
}

/** One topic: what was asked, the feedback, and the rankings side by side. */
export function topic(opened, found, go) {
  const rankers = Object.keys(found.lists);
  const here = (change) => ({ run: opened.run, collection: found.collection, topic: found.topic, ranker: rankers, k: found.k, ...change });
  const choose = (change) => go(here(change), { stay: true });
  const other = (place) => (name) => choose({ ranker: rankers.map((one, at) => (at === place ? name : one)) });
  return [
    h("p", { class: "finding" }, found.query),
    ...[found.description, found.narrative].filter(Boolean).map((words) => h("p", { class: "quiet-text" }, words)),
    card(
      `Feedback (k = ${found.k})`,
      opened.k.length > 1 && h("div", { class: "row" }, select("k", opened.k.map(String), String(found.k), (k) => choose({ k }))),
      found.feedback.length
        ? h("ul", { class: "judged", role: "list" }, found.feedback.map((row) => judged(row, row.relevance > 0.5 ? 1 : 0)))
        : h("p", { class: "empty" }, "No feedback was given."),
      h("p", { class: "quiet-text" }, `${count(found.relevant_left, "relevant document")} left to find.`),
    ),
    h(
      "div",
      { class: "side" },
      rankers.map((name, place) =>
        h(
          "section",
          { class: "card", "aria-label": `Ranking of ${name}` },
          select(place ? "against" : "Ranker", opened.rankers, name, other(place)),
          h("ol", { class: "judged" }, found.lists[name].map((row) => judged(row, row.grade))),
        ),
      ),
    ),
  ];
}

/** A document with its grade: relevant ones stand out, unjudged ones say so. */
function judged({ document: id, title }, grade) {
  const [kind, said] = grade === null ? ["none", "?"] : grade > 0 ? ["good", `+${grade}`] : ["bad", "0"];
  const meaning = grade === null ? "not judged" : grade > 0 ? `relevant, grade ${grade}` : "not relevant";
  return h(
    "li",
    {},
    h("span", { class: `badge ${kind}`, title: meaning }, h("span", { "aria-hidden": "true" }, said), h("span", { class: "visually-hidden" }, meaning)),
    " ",
    title || id,
    title && h("span", { class: "quiet-text" }, ` ${id}`),
  );
}

/** Two runs: the rankers that both have. */
export function comparison(first, second, found) {
  const at = Object.fromEntries(found.columns.map(({ name }, place) => [name, place]));
  const values = found.rows.map((row) => ({
    name: `${row[at.A].text.split(":").at(-1)}, ${row[at.collection].text}`,
    difference: row[at["A - B"]].value,
    low: row[at.low].value,
    high: row[at.high].value,
  }));
  return [
    h("p", { class: "quiet-text" }, "Every ranker that both runs have: A is from ", link({ run: first }, first), ", B from ", link({ run: second }, second), "."),
    card(found.caption, plotted(`${first} less ${second}`, "A - B", values), ...shownTable(found)),
  ];
}
