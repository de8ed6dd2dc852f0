// The API key of servers that want one: asked for when the server answers 401, kept for this tab only.

import { h } from "./dom.js";

const STORED = "api-key";

export const stored = () => sessionStorage.getItem(STORED);

let asking = null; // one dialog for all requests that were turned away

/** Ask for a key; resolves to whether one was given. `why` is what the server said. */
export function askForKey(why) {
  asking ??= dialog(why).finally(() => (asking = null));
  return asking;
}

function dialog(why) {
  const field = h("input", { id: "api-key", type: "password", autocomplete: "off", required: true, spellcheck: "false" });
  const form = h(
    "form",
    { class: "sheet key-sheet", method: "dialog" },
    h("h2", { id: "key-title" }, "This server wants an API key"),
    h("p", { class: "quiet-text" }, why),
    h("label", { for: "api-key" }, "API key"),
    field,
    h("p", { class: "quiet-text" }, "It stays in this tab and is forgotten when the tab is closed."),
    h(
      "div",
      { class: "key-buttons" },
      h("button", { class: "button", type: "button", on: { click: () => box.close("") } }, "Cancel"),
      h("button", { class: "button primary", type: "submit", value: "given" }, "Use this key"),
    ),
  );
  const box = h("dialog", { id: "key-dialog", "aria-labelledby": "key-title" }, form);
  document.body.append(box);
  box.showModal();
  return new Promise((resolve) => {
    box.addEventListener("close", () => {
      const given = box.returnValue === "given" && field.value.trim() !== "";
      if (given) sessionStorage.setItem(STORED, field.value.trim());
      box.remove();
      drawForget();
      resolve(given);
    });
  });
}

/** The button in the navigation that forgets the key; there only while one is kept. */
function drawForget() {
  const nav = document.querySelector("#site-nav");
  nav?.querySelector("[data-forget]")?.remove();
  if (!nav || !stored()) return;
  const forget = () => {
    sessionStorage.removeItem(STORED);
    location.reload();
  };
  nav.append(h("button", { type: "button", class: "quiet", data: { forget: "" }, on: { click: forget } }, "Forget key"));
}

drawForget();
