// What the cards of the operating page show: each function turns an answer of the server into nodes.

import { chart, table } from "./charts.js";
import { count, h, milliseconds } from "./dom.js";
import * as specs from "./specs.js";

const percent = (share) => `${(100 * share).toFixed(1)}%`;
const when = (iso) => new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
const number = (name, of) => ({ name, text: of, kind: "number" });
const text = (name, of, kind = null) => ({ name, text: of, kind });
const empty = (...words) => [h("p", { class: "empty" }, ...words)];
const sum = (rows, of) => rows.reduce((total, row) => total + of(row), 0);
const LIST = { stacks: true }; // rows that are read one by one, not compared
const searchPage = () => h("a", { href: "./" }, "search page");

/** Every bucket with its begin and end, as the charts want them. */
const timed = ({ period }, rows) =>
  rows.map((row) => ({
    ...row,
    begin: row.bucket,
    end: new Date(Date.parse(row.bucket) + period.bucket_seconds * 950).toISOString(), // with a little room between
  }));

/** The headline. */
export function figures(traffic, clicks) {
  const searches = sum(traffic.searches, (row) => row.searches);
  const acts = (...kinds) => sum(traffic.feedback.filter((row) => kinds.includes(row.kind)), (row) => row.events);
  const clicked = sum(clicks.quality, (row) => row.clicked * row.pages);
  const shown = [
    ["Searches", searches.toLocaleString("en")],
    ["Rounds of feedback", sum(traffic.searches, (row) => row.rounds).toLocaleString("en")],
    ["Clicks", acts("click").toLocaleString("en")],
    ["Judgements", acts("relevant", "not_relevant", "graded").toLocaleString("en")],
    ["First pages with a click", clicks.pages ? percent(clicked / clicks.pages) : "–"],
  ];
  return shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
}

export function searches(traffic) {
  if (!traffic.searches.length) return empty("Nobody has searched in this period. Try the ", searchPage(), ".");
  const columns = [
    text("Begin", (row) => when(row.begin)),
    text("Pipeline", (row) => row.pipeline),
    number("Searches", (row) => row.searches),
    number("Rounds", (row) => row.rounds),
  ];
  const label = "Searches over time by pipeline";
  return [chart(label, specs.stacked("searches", "searches", "pipeline"), columns, timed(traffic, traffic.searches))];
}

export function latency(traffic) {
  const rows = timed(traffic, traffic.searches.filter((row) => row.p50_ms !== null));
  if (!rows.length) return empty("No times were recorded in this period.");
  const long = rows.flatMap((row) => [
    { ...row, quantile: "median", ms: row.p50_ms },
    { ...row, quantile: "95%", ms: row.p95_ms },
  ]);
  const columns = [
    text("Begin", (row) => when(row.begin)),
    text("Pipeline", (row) => row.pipeline),
    text("Quantile", (row) => row.quantile),
    number("Time", (row) => milliseconds(row.ms)),
  ];
  const spec = specs.lines("ms", "milliseconds", "pipeline", { dash: "quantile" });
  return [chart("Latency over time by pipeline", spec, columns, long)];
}

export function feedback(traffic) {
  if (!traffic.feedback.length) return empty("No feedback in this period. Open or judge results on the ", searchPage(), ".");
  const columns = [
    text("Begin", (row) => when(row.begin)),
    text("Kind", (row) => row.kind),
    number("Events", (row) => row.events),
  ];
  const rows = timed(traffic, traffic.feedback).map((row) => ({ ...row, kind: row.kind.replace("_", " ") }));
  return [chart("Feedback over time by kind", specs.stacked("events", "events", "kind"), columns, rows)];
}

export function quality(clicks) {
  if (!clicks.pages) return empty("No first pages were shown in this period.");
  const columns = [
    text("Begin", (row) => when(row.begin)),
    text("Pipeline", (row) => row.pipeline),
    number("First pages", (row) => row.pages),
    number("With a click", (row) => percent(row.clicked)),
    number("MRR of clicks", (row) => row.mrr.toFixed(3)),
  ];
  const spec = specs.lines("clicked", "with a click", "pipeline", { share: true });
  return [chart("Share of first pages with a click, over time by pipeline", spec, columns, timed(clicks, clicks.quality))];
}

export function ranks(clicks) {
  if (!clicks.by_rank.length) return empty("No first pages were shown in this period.");
  const columns = [
    number("Rank", (row) => row.rank),
    number("Shown", (row) => row.shown.toLocaleString("en")),
    number("Clicked", (row) => row.clicks.toLocaleString("en")),
    number("Share", (row) => percent(row.share)),
    number("95% interval", (row) => `${percent(row.low)} – ${percent(row.high)}`),
  ];
  const nodes = [chart("Click-through by rank", specs.rankBars, columns, clicks.by_rank)];
  if (clicks.cut) {
    nodes.push(h("p", { class: "quiet-text" }, `The newest ${count(clicks.pages, "page")} of the period.`));
  }
  return nodes;
}

const STATES = {
  identified: ["good", "The log can tell"],
  unsure: ["fair", "Tells, with doubts"],
  partly: ["fair", "Tells the first ranks only"],
  "not-identified": ["bad", "The log cannot tell"],
  empty: ["none", "No clicks yet"],
};

export function propensity({ propensity: found }) {
  const [kind, said] = STATES[found.state];
  const head = h(
    "p",
    { class: "state" },
    h("span", { class: `badge ${kind}` }, said),
    " ",
    [found.detail, found.advice].filter(Boolean).join(" "),
  );
  const nodes = [head];
  if (found.ranks.length) {
    const columns = [
      number("Rank", (row) => row.rank),
      number("Propensity", (row) => row.propensity.toFixed(3)),
      number("Low", (row) => row.low?.toFixed(3) ?? "–"),
      number("High", (row) => row.high?.toFixed(3) ?? "–"),
    ];
    nodes.push(chart("Propensity by rank, relative to rank 1", specs.band, columns, found.ranks));
    const level = `${Math.round(100 * found.confidence)}%`;
    nodes.push(h("p", { class: "quiet-text" }, `Method: ${found.method}. The band is a ${level} bootstrap interval over queries.`));
  } else if (found.components.length > 1) {
    const groups = found.components.map((ranks) => ranks.join(", ")).join(" · ");
    nodes.push(h("p", { class: "quiet-text" }, `Ranks that shared documents connect: ${groups}.`));
  }
  nodes.push(...found.warnings.map((warning) => h("p", { class: "notice" }, warning)));
  return nodes;
}

const sure = (row) => (row.p_value < 0.001 ? "<.001" : row.p_value.toFixed(3));
const interval = (row) => `${row.low.toFixed(3)} – ${row.high.toFixed(3)}`;

/** Duels share pages between two pipelines; experiments give each its own sessions. */
export function experiments({ duels, confidence }, { experiments: split }) {
  if (!duels.length && !split.length) {
    return empty("No experiment has run. Let two pipelines share pages or sessions with the settings ", h("code", {}, "interleaving"), " or ", h("code", {}, "split"), ".");
  }
  const level = `${Math.round(100 * confidence)}% intervals, valid whenever they are read.`;
  return [...(duels.length ? shared(duels) : []), ...(split.length ? apart(split) : []), h("p", { class: "quiet-text" }, level)];
}

function shared(duels) {
  const rows = duels.map((duel) => ({ ...duel, name: `${duel.first} or ${duel.second} (${duel.index})` }));
  const columns = [
    text("Duel", (row) => row.name),
    text("Method", (row) => row.method),
    number("Pages with a click", (row) => `${row.clicked} of ${row.pages}`),
    number("Wins of the first", (row) => row.first_wins),
    number("Wins of the second", (row) => row.second_wins),
    number("Preference", (row) => row.preference.toFixed(3)),
    number("Interval", interval),
    number("p", sure),
    text("Winner", (row) => (row.winner ? row[row.winner] : "not sure yet")),
  ];
  const title = "-1: all clicks for the second, 1: the first";
  return [
    h("h3", {}, "On shared pages"),
    chart("Preferences in duels", specs.intervals("preference", "name", title, rows.length), columns, rows),
  ];
}

function apart(split) {
  const arms = (row) => row.arms.map((arm) => `${arm.name}: ${arm.clicked} of ${arm.pages} pages clicked, MRR ${arm.mrr.toFixed(3)}`).join("; ");
  const columns = [
    text("Experiment", (row) => `${row.experiment} (${row.index})`),
    text("Arms", arms, "long"),
    number("Difference of MRR", (row) => row.difference.toFixed(3)),
    number("Interval", interval),
    number("p", sure),
    text("Winner", (row) => (row.winner ? row.arms[row.winner === "first" ? 0 : 1].name : "not sure yet")),
  ];
  const rows = split.map((row) => ({ ...row, name: `${row.experiment} (${row.index})` }));
  return [
    h("h3", {}, "On sessions of their own"),
    chart("Differences of experiments", specs.intervals("difference", "name", "MRR of clicks, first less second", rows.length), columns, rows),
  ];
}

export function generations({ indexes }, { versions }, { releases }) {
  const held = [
    text("Index", (row) => row.name),
    number("Documents", (row) => row.documents.toLocaleString("en")),
    text("Generation", (row) => row.generation),
    text("Built", (row) => when(row.created)),
    text("Analyzer", (row) => row.analyzer),
    text("Encoder", (row) => row.encoder ?? "none: words only"),
  ];
  if (indexes.some((row) => row.problem)) held.push(text("Problem", (row) => row.problem ?? "–", "long"));
  const activated = [
    text("What", (row) => `${row.kind} ${row.name}`),
    text("Which", (row) => row.target),
    number("Share of sessions", (row) => percent(row.share)),
    text("Since", (row) => when(row.released)),
  ];
  const served = [
    text("Pipeline", (row) => row.pipeline),
    text("Version", (row) => row.version),
    text("Index", (row) => `${row.index} ${row.generation}`),
    number("Rankings", (row) => row.rankings.toLocaleString("en")),
    text("First", (row) => when(row.first)),
    text("Last", (row) => when(row.last)),
  ];
  return [
    table("Indexes", held, indexes, LIST),
    ...(releases.length ? [h("h3", {}, "Activated"), table("Activated", activated, releases, LIST)] : []),
    ...(versions.length ? [h("h3", {}, "Answered in this period"), table("Versions that answered", served, versions, LIST)] : []),
  ];
}

export function jobs(answer) {
  if (!answer.jobs.length) return empty("No jobs. Send one to ", h("code", {}, "POST /v1/jobs"), " and start ", h("code", {}, "clickwise worker"), ".");
  const columns = [
    text("Job", (row) => String(row.id)),
    text("Kind", (row) => row.kind),
    text("State", (row) => (row.cancelling ? "cancelling" : row.state)),
    text("Progress", progress, "long"),
    text("Created", (row) => when(row.created)),
  ];
  return [table("Jobs", columns, answer.jobs, LIST)];
}

/** How far a job is, with the time that is left where somebody knows, or what it has done; what went wrong where it failed,
 * and what it could not read. */
function progress({ id, state, progress: now, problem, unread }) {
  if (unread.length) return `This version cannot read all of it. ${unread.join(". ")}.`;
  if (problem) return `${problem.message} ${problem.advice}`;
  if (!now) return "–";
  const done = now.done.toLocaleString("en");
  const rejected = now.rejected ? `, ${now.rejected.toLocaleString("en")} rejected` : "";
  if (state === "done") return `${done} ${rejected ? "read" : "done"}${rejected}`;
  if (!now.total) return `${now.stage}: ${done}${rejected}`;
  const left = now.remaining_s === null ? "" : `, ${Math.ceil(now.remaining_s)} s left`;
  const bar = h("progress", { max: String(now.total), value: String(now.done), "aria-label": `Progress of job ${id}` });
  return h("span", {}, bar, ` ${now.stage}: ${percent(now.done / now.total)}${left}${rejected}`);
}

export function errors({ since, errors: found }) {
  if (!found.length) return empty(`Nothing has gone wrong since ${when(since)}.`);
  const columns = [
    text("Time", (row) => when(row.time)),
    text("Level", (row) => row.level),
    text("Where", (row) => row.source),
    number("Status", (row) => row.status ?? ""),
    text("What", (row) => row.message, "long"),
    text("Request", (row) => row.request_id ?? ""),
  ];
  return [table("Recent errors", columns, found, LIST), h("p", { class: "quiet-text" }, `Of this process, since ${when(since)}.`)];
}
