// The parts of the search page, and what it is at: the other modules of the page work on these.

import { Beside } from "./beside.js";
import { HitList } from "./hits.js";
import { Reader } from "./reader.js";
import { Session } from "./session.js";

export const $ = (selector) => document.querySelector(selector);
export const form = $("#search");
export const filter = $("#filter");

const told = { changed() {}, besideChanged() {}, left() {} };

export const list = new HitList($("#hits"));
export const session = new Session((what) => told.changed(what));
export const beside = new Beside(session, () => told.besideChanged());
export const reader = new Reader($("#reader"), (id, dwell) => told.left(id, dwell));

/** `asked` is the address whose ranking is shown, null on the start page; `besideOpened` says whether the open document
 * was opened from the second list. */
export const now = { asked: null, besideOpened: false };

/** Who hears of changes: `changed(what)` of the session's, `besideChanged()`, and `left(id, dwell)` of a closed document. */
export const connect = (listeners) => Object.assign(told, listeners);
