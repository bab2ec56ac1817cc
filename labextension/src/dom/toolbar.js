/** Buttons in a row that are one stop for the Tab key; the arrow keys lead from one to the next. */

/**
 * A row of buttons. `update` is called after buttons came, went or were hidden.
 *
 * @typedef {{ element: HTMLElement, update: () => void }} Toolbar
 */

/**
 * Make a toolbar of an element that holds buttons or will hold them.
 *
 * @template {HTMLElement} Kind
 * @param {Kind} element
 * @param {string} label
 * @returns {{ element: Kind, update: () => void }}
 */
export function asToolbar(element, label) {
  element.setAttribute("role", "toolbar");
  element.setAttribute("aria-label", label);

  // What pops up is no part of the row, even though it stands in it.
  const stops = () =>
    [...element.querySelectorAll("button")].filter(
      (button) => !button.closest("[hidden], [popover]"),
    );

  /** @param {HTMLButtonElement | undefined} chosen */
  const choose = (chosen) => {
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
    const at = all.indexOf(/** @type {HTMLButtonElement} */ (event.target));
    const next = at < 0 ? undefined : all[placeAfter(event.key, at, all.length)];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  return { element, update };
}

/**
 * Return where a key leads in a row, or -1.
 *
 * @param {string} key
 * @param {number} at
 * @param {number} length
 * @returns {number}
 */
function placeAfter(key, at, length) {
  if (key === "ArrowRight") return (at + 1) % length;
  if (key === "ArrowLeft") return (at + length - 1) % length;
  if (key === "Home") return 0;
  return key === "End" ? length - 1 : -1;
}
