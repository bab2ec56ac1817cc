/** What a screen reader says though nobody goes there. */

import { make } from "./elements.js";

export interface Announcer {
  element: HTMLElement;
  say: (text: string) => void;
}

/** Make a live region. It has to be on the page before something is said. */
export function createAnnouncer(): Announcer {
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
