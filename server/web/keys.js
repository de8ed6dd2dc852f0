// Keyboard shortcuts. Single letters work only while nothing is being typed, and can be switched off.

const STORED = "shortcuts";

export const enabled = () => localStorage.getItem(STORED) !== "off";

export const enable = (on) => localStorage.setItem(STORED, on ? "on" : "off");

const typing = (node) => node.closest("input, select, textarea, [contenteditable]") !== null;

/**
 * Listen on the whole page. `actions` maps a name to a function that returns true where it did something:
 * search(), help(), undo(), step(by), act(kind) with kind "relevant", "not_relevant" or "why" for the hit at hand.
 */
export function listen(actions) {
  const letters = {
    "/": () => actions.search(),
    "?": () => actions.help(),
    u: () => actions.undo(),
    j: () => actions.step(1),
    k: () => actions.step(-1),
    r: () => actions.act("relevant"),
    n: () => actions.act("not_relevant"),
    w: () => actions.act("why"),
  };
  const arrows = { ArrowDown: 1, ArrowUp: -1 };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const { key, target } = event;
    let done = false;
    if (key in arrows) {
      // Elsewhere the arrows scroll, choose or move the caret, as everybody expects.
      const inList = target.closest("#hits, #hits-beside") !== null;
      const fromSearch = target.id === "query" && key === "ArrowDown";
      done = (inList || fromSearch) && actions.step(arrows[key]);
    } else if (!typing(target) && enabled() && Object.hasOwn(letters, key)) done = letters[key]();
    if (done) event.preventDefault();
  });
}
