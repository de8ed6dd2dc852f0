// What the charts look like, as Vega-Lite without data. Colours and fonts come from charts.js.

const time = (field) => ({ field, type: "temporal", title: null });
const measured = (field, title, more = {}) => ({ field, type: "quantitative", title, ...more });
const percent = { axis: { format: ".0%" } };
const tooltip = (...fields) => fields.map((field) => (typeof field === "string" ? { field } : field));

/** Bars over time, stacked by `by`; every row has the `begin` and `end` of its bucket. */
export const stacked = (field, title, by) => ({
  mark: { type: "bar", orient: "vertical" },
  encoding: {
    x: time("begin"),
    x2: { field: "end" },
    y: measured(field, title, { stack: "zero", axis: { tickMinStep: 1 } }),
    color: { field: by, type: "nominal" },
    tooltip: tooltip({ field: "begin", type: "temporal", format: "%d %b %H:%M" }, by, field),
  },
});

/** Lines over time, one colour per `by`; `dash` distinguishes a second quantity. */
export const lines = (field, title, by, { dash = null, share = false } = {}) => ({
  mark: { type: "line", point: true },
  encoding: {
    x: time("begin"),
    y: measured(field, title, { ...(share ? percent : {}), scale: { zero: true } }),
    color: { field: by, type: "nominal" },
    ...(dash ? { strokeDash: { field: dash, type: "nominal", sort: null } } : {}),
    tooltip: tooltip(
      { field: "begin", type: "temporal", format: "%d %b %H:%M" },
      by,
      ...(dash ? [dash] : []),
      { field, format: share ? ".1%" : ".1f" },
    ),
  },
});

const rank = { field: "rank", type: "ordinal", title: "rank", axis: { labelAngle: 0 } };

/** Bars by rank with an interval. */
export const rankBars = {
  encoding: { x: rank },
  layer: [
    { mark: "bar", encoding: { y: measured("share", "clicked", percent) } },
    { mark: { type: "rule" }, encoding: { y: measured("low", "clicked"), y2: { field: "high" } } },
  ],
};

/** A curve by rank in its confidence band. */
export const band = {
  encoding: { x: { ...rank, type: "quantitative", axis: { tickMinStep: 1, format: "d" } } },
  layer: [
    { mark: { type: "area", opacity: 0.2 }, encoding: { y: measured("low", "propensity"), y2: { field: "high" } } },
    { mark: { type: "line", point: true }, encoding: { y: measured("propensity", "propensity", { scale: { zero: true } }) } },
  ],
};

/** Whether the window is that of a phone, as in pages.css. */
const narrow = () => matchMedia("(max-width: 600px)").matches;

/** Differences with intervals about zero, one row each. */
export const intervals = (field, name, title, rows) => ({
  height: 26 * rows,
  encoding: { y: { field: name, type: "nominal", title: null, sort: null, axis: { labelLimit: narrow() ? 120 : 220 } } },
  layer: [
    {
      mark: { type: "rule", strokeWidth: 2 },
      // The title ends where the axis ends: to its left there is room below the names.
      encoding: {
        x: measured("low", title, { scale: { padding: 8 }, axis: { format: ".3f", tickMinStep: 0.001, titleAnchor: "end", titleAlign: "right" } }),
        x2: { field: "high" },
      },
    },
    { mark: { type: "point", size: 110, opacity: 1 }, encoding: { x: measured(field, title) } },
    { mark: { type: "rule", strokeDash: [3, 3] }, encoding: { x: { datum: 0, type: "quantitative" }, y: null } },
  ],
});

/** What each topic gains by a ranker over another, sorted. */
export const gains = {
  mark: { type: "bar" },
  encoding: {
    x: { field: "place", type: "ordinal", title: "topics, by what they gain", axis: { labels: false, ticks: false } },
    y: measured("difference", "difference"),
    color: { field: "better", type: "nominal", title: "better" },
    tooltip: tooltip("topic", "query", { field: "difference", format: "+.3f" }),
  },
};
