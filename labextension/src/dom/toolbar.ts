/** Buttons in a row that are one stop for the Tab key; the arrow keys lead from one to the next. */

/**
 * Make a toolbar of an element that holds buttons or will hold them. `update` is called after
 * buttons came, went or were hidden.
 */
export function asToolbar<Kind extends HTMLElement>(
  element: Kind,
  label: string,
): { element: Kind; update: () => void } {
  Object.assign(element, { role: "toolbar", ariaLabel: label });
  // What pops up is no part of the row, even though it stands in it.
  const stops = () =>
    [...element.querySelectorAll("button")].filter(
      (button) => !button.closest("[hidden], [popover]"),
    );

  const choose = (chosen: HTMLButtonElement | undefined) => {
    for (const stop of stops()) stop.tabIndex = stop === chosen ? 0 : -1;
  };

  const update = () => {
    const all = stops();
    if (all.filter((stop) => stop.tabIndex === 0).length !== 1) choose(all[0]);
  };

  element.addEventListener("focusin", ({ target }) => {
    if (target instanceof HTMLButtonElement) choose(target);
  });
  element.addEventListener("keydown", (event) => {
    const all = stops();
    const at = all.indexOf(event.target as HTMLButtonElement);
    const next = at < 0 ? undefined : all[placeAfter(event.key, at, all.length)];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  return { element, update };
}

/** Return the place in a row to which a key leads, or -1. */
function placeAfter(key: string, at: number, length: number): number {
  if (key === "ArrowRight") return (at + 1) % length;
  if (key === "ArrowLeft") return (at + length - 1) % length;
  if (key === "Home") return 0;
  return key === "End" ? length - 1 : -1;
}
