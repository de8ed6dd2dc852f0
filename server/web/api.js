// The HTTP API as functions. Every failure becomes a Problem that says what is wrong and what to do about it.

import { askForKey, stored } from "./key.js";

export class Problem extends Error {
  /** `document` is an application/problem+json body: {title, status, detail, advice, field?}. */
  constructor({ title = "Something went wrong", detail = "", advice = "", status = 0, field = null }) {
    super(detail || title);
    Object.assign(this, { title, detail, advice, status, field });
  }
}

/** A random id; `crypto.randomUUID` exists only on https and localhost. */
export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const TRIES = 4; // of a request that is told to come again
const PATIENCE = 5; // seconds: who is told to wait for longer is asked

/** How many milliseconds to wait before a request is sent once more; null where that is for the reader to decide. */
function pause({ status, headers }, tried) {
  const seconds = Number(headers.get("Retry-After") ?? NaN);
  if (status !== 429 || tried >= TRIES || !(seconds <= PATIENCE)) return null;
  return 1000 * seconds * (1 + Math.random()); // those who were turned away together do not come back together
}

async function call(path, { method = "GET", body, signal, keepalive = false } = {}, tried = 1) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const key = stored();
  if (key) headers.Authorization = `Bearer ${key}`;
  let response;
  try {
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal, keepalive });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      title: "The server does not answer",
      detail: "The request did not reach Clickwise.",
      advice: "Check that it is still running, then try again.",
    });
  }
  const wait = keepalive ? null : pause(response, tried);
  if (wait !== null) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    signal?.throwIfAborted();
    return call(path, { method, body, signal, keepalive }, tried + 1);
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  if (response.status === 401 && !keepalive) {
    const given = key !== stored() || (await askForKey([answer?.detail, answer?.advice].filter(Boolean).join(" ")));
    if (given) return call(path, { method, body, signal, keepalive });
  }
  throw new Problem({ title: `The server answered ${response.status}`, ...answer, status: response.status });
}

export const indexes = () => call("v1/indexes").then((answer) => answer.indexes);

export const pipelines = () => call("v1/pipelines").then((answer) => answer.pipelines);

/** A GET of what the other pages show; `query` is left out where a value is empty, `lists` has names that repeat. */
export function look(path, query = {}, lists = {}) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== "" && value !== null && value !== undefined) given.append(name, value);
  }
  for (const [name, values] of Object.entries(lists)) for (const value of values) given.append(name, value);
  return call(given.size ? `${path}?${given}` : path);
}

/** One document in full. */
export function fetchDocument(id, index, signal) {
  const query = index ? `?index=${encodeURIComponent(index)}` : "";
  return call(`v1/documents/${encodeURIComponent(id)}${query}`, { signal });
}

/** A ranking, or with `query_id` the next round or a further page of it. */
export function search(body, signal) {
  const defined = Object.entries(body).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return call("v1/search", { method: "POST", body: Object.fromEntries(defined), signal });
}

/**
 * Record what the reader did with a document. The idempotency key makes a second attempt harmless, so a lost
 * connection is tried once more; `keepalive` lets the event outlive the page.
 */
export async function feedback(event, { keepalive = false } = {}) {
  const options = { method: "POST", body: { ...event, idempotency_key: randomId() }, keepalive };
  try {
    return await call("v1/feedback", options);
  } catch (problem) {
    if (problem.status !== 0) throw problem;
    return call("v1/feedback", options);
  }
}
