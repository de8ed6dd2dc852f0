// Movement that explains a change: rows glide from where they were to where they are (FLIP: first, last, invert, play).

const DURATION = 420;
const EASING = "cubic-bezier(0.2, 0.8, 0.2, 1)";

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Run `change`, which reorders the children of `list`, and animate each child to its new place; new ones fade in. */
export function flip(list, change) {
  if (calm()) return change();
  const before = new Map([...list.children].map((child) => [child, child.getBoundingClientRect().top]));
  change();
  if (!before.size) return undefined;
  for (const child of list.children) {
    const from = before.get(child);
    const by = from === undefined ? 0 : from - child.getBoundingClientRect().top;
    if (from === undefined) child.animate([{ opacity: 0 }, { opacity: 1 }], { duration: DURATION, easing: EASING });
    else if (Math.abs(by) > 1) {
      const zIndex = by > 0 ? 1 : 0; // what rises passes in front
      const frames = [{ transform: `translateY(${by}px)`, zIndex }, { transform: "none", zIndex }];
      child.animate(frames, { duration: DURATION, easing: EASING });
    }
  }
  return undefined;
}
