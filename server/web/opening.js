// Documents opened to be read, which is a click, with the time spent on them.

import * as address from "./address.js";
import { chosen } from "./choices.js";
import { beside, list, now, reader, session } from "./parts.js";

/** Open a document; the back button closes it. */
export function open(id) {
  address.push({ ...address.read(), doc: id }, { ...history.state, opened: true });
  read(id);
}

/** Show a document that the address names. */
export function read(id) {
  const hit = (now.besideOpened && beside.hit(id)) || session.hits.find((one) => one.id === id);
  reader.open(id, { index: chosen.index, mark: session.marks.get(id), title: hit?.title, snippet: hit?.snippet });
}

/** The details of a click on a document of the first list. */
export const clicked = (id, dwell) => ({ position: session.hits.find((hit) => hit.id === id)?.rank, dwell_ms: dwell });

/** The reader was closed: that is the click, with the time spent reading. */
export function leaveDocument(id, dwell) {
  const here = address.read();
  if (here.doc === id) {
    if (history.state?.opened) history.back();
    else address.replace({ ...here, doc: "" });
  }
  list.focus(id);
  if (!session.answer) return;
  if (now.besideOpened) beside.click(id, { position: beside.hit(id)?.rank, dwell_ms: dwell }, true);
  else {
    session.mark(id, "click", clicked(id, dwell));
    beside.click(id, null, false);
  }
}
