// What one does with results: judge them, open them, ask why, narrow by a tag, take back, share.

import * as address from "./address.js";
import { addFilter } from "./asking.js";
import { clicked, open } from "./opening.js";
import { $, beside, list, now, session } from "./parts.js";
import { announce, drawBeside } from "./view.js";

/** What a control of a document does; `act` is its data-act. */
export function act(name, id, control = null) {
  const second = control !== null && beside.owns(control);
  if (name === "open") {
    now.besideOpened = second;
    open(id);
  } else if (name === "show") list.focus(id) || open(id);
  else if (name === "tag") addFilter(control.dataset.name, control.dataset.value);
  else if (name === "why") {
    (second ? beside : list).toggleWhy(id);
    drawBeside();
  } else if (session.answer) {
    const kind = session.marks.get(id) === name ? "none" : name; // pressed again: taken back
    session.mark(id, kind, { position: clicked(id).position });
    beside.adopt();
  }
}

/** Take back the last thing that was said, in both lists. */
export function undo() {
  session.undo();
  beside.adopt();
}

/** Show the link to this search with its feedback, and copy it where the browser lets the page do so. */
export async function share() {
  const link = $("#share-link");
  link.value = address.shared(session.marks);
  link.hidden = false;
  link.select();
  const copied = await navigator.clipboard?.writeText(link.value).then(() => true, () => false);
  announce(copied ? "The link is copied." : "The link is selected: copy it.");
  $("#share").textContent = copied ? "Link copied" : "Copy this link:";
}
