/** What a screen reader says of its own accord. Nothing is said while an answer grows. */

import { make } from "./elements.js";

/**
 * @typedef {object} Announcer
 * @property {HTMLElement} element
 * @property {(text: string) => void} say
 */

/**
 * Make the live region of a panel. It has to be on the page before something is said.
 *
 * @returns {Announcer}
 */
export function createAnnouncer() {
  const element = make("div", "jllm-hidden jllm-announcer");
  element.setAttribute("role", "status");
  return {
    element,
    say(text) {
      // A new node, since the same words said twice would be no change.
      element.replaceChildren(make("span", "", text));
    },
  };
}
