// The page's address: what is searched, where and how, and which document is open. The back button walks through it.

const NAMES = ["q", "index", "pipeline", "beside", "filter", "doc"];
const SHARED = { relevant: "more", not_relevant: "not" }; // what a shared link says about documents
const QUESTION = ["q", "index", "filter"];
const SEARCH = [...QUESTION, "pipeline"];

/** {q, index, pipeline, beside, filter, doc}: empty text where the address does not say, and q null on the start page. */
export function read() {
  const query = new URLSearchParams(location.search);
  const found = Object.fromEntries(NAMES.map((name) => [name, query.get(name) ?? ""]));
  return { ...found, q: query.get("q") };
}

const same = (names) => (a, b) => a !== null && b !== null && names.every((name) => a[name] === b[name]);

/** Whether two addresses ask the same question of the same index, by whatever pipeline. */
export const sameQuestion = same(QUESTION);

/** Whether two addresses ask for the same ranking. */
export const sameSearch = same(SEARCH);

function href(parameters) {
  const query = new URLSearchParams();
  for (const name of NAMES) if (parameters[name] || (name === "q" && parameters.q === "")) query.set(name, parameters[name]);
  return `${location.pathname}${query.size ? `?${query}` : ""}`;
}

/** The whole address with what was said about documents; opened documents are nobody's business. */
export function shared(marks) {
  const query = new URLSearchParams(href({ ...read(), doc: "" }).split("?")[1]);
  for (const [id, kind] of marks) if (SHARED[kind]) query.append(SHARED[kind], id);
  return `${location.origin}${location.pathname}?${query}`;
}

/** The feedback that a shared link brings along. */
export function brought() {
  const query = new URLSearchParams(location.search);
  const given = (name, relevance) => query.getAll(name).map((document) => ({ document, relevance }));
  return [...given(SHARED.relevant, 1), ...given(SHARED.not_relevant, 0)];
}

/** Go on to an address. `state` stays with the history entry, also across a reload. */
export const push = (parameters, state = {}) => history.pushState(state, "", href(parameters));

/** Rewrite the current history entry. */
export const replace = (parameters, state = history.state) => history.replaceState(state, "", href(parameters));

/** Add to the state of the current history entry. */
export const remember = (state) => history.replaceState({ ...history.state, ...state }, "");
