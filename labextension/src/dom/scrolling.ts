/** What may be too wide or too long for its place scrolls by itself, without a mouse too. */

/** Let the keyboard reach an element, and say what it is. */
export function makeScrollable(element: HTMLElement, label: string): void {
  element.tabIndex = 0;
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", label);
}
