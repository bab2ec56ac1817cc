/** What may be too wide or too long for its place scrolls by itself, without a mouse too. */

/**
 * Let the keyboard reach an element, and say what it is.
 *
 * @param {HTMLElement} element
 * @param {string} label
 */
export function makeScrollable(element, label) {
  element.tabIndex = 0;
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", label);
}
