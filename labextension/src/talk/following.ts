/** Keeps the newest line of a scrolling list in sight, until its reader scrolls up. */

import { makeButton } from "../dom/elements.js";
import { trans } from "../dom/words.js";

/** So near to the end counts as at the end. */
const NEAR_PX = 24;

export interface Follower {
  /** Leads back to the end; hidden while that is in sight. */
  button: HTMLButtonElement;
  /** Go to the end and stay there. */
  follow: () => void;
  /** Show what is new at the end from its start on. */
  showStart: (element: Element) => void;
  /** Stay at what is in sight, unless that is the end. */
  stay: () => void;
}

/** Follow the end of what a list shows. `list` is what scrolls; `content` is what grows in it. */
export function createFollower(
  list: HTMLElement,
  content: HTMLElement,
  signal: AbortSignal,
): Follower {
  let top = 0;
  const follow = () => {
    button.hidden = true;
    list.scrollTop = list.scrollHeight;
    top = list.scrollTop;
  };
  const button = makeButton(trans.__("↓ Newest"), follow, {
    isPlain: false,
    className: "jllm-newest",
  });
  button.hidden = true; // as long as the end is followed
  const showStart = (element: Element) => {
    const { top: listTop, height } = list.getBoundingClientRect();
    const { top: elementTop, height: elementHeight } = element.getBoundingClientRect();
    if (!button.hidden || elementHeight < height) return;
    button.hidden = false;
    list.scrollTop += elementTop - listTop;
    top = list.scrollTop;
  };
  const stay = () => {
    top = list.scrollTop;
    button.hidden = isAtEnd(list);
  };
  list.addEventListener("scroll", () => {
    // A notebook takes cells that are far away off the page, which scrolls them to their start.
    if (list.clientHeight === 0) return;
    if (isAtEnd(list)) button.hidden = true;
    else if (list.scrollTop < top) button.hidden = false;
    top = list.scrollTop;
  });
  const observer = new ResizeObserver(() => {
    // While somebody writes in the list, the field must not move away.
    if (list.clientHeight === 0 || content.querySelector("textarea:focus")) return;
    if (button.hidden) follow();
    else if (list.scrollTop === 0) list.scrollTop = top;
  });
  observer.observe(list);
  observer.observe(content);
  signal.addEventListener("abort", () => observer.disconnect());
  return { button, follow, showStart, stay };
}

function isAtEnd(list: HTMLElement): boolean {
  return list.scrollHeight - list.clientHeight - list.scrollTop < NEAR_PX;
}
