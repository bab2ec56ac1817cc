/** Keeps the newest line of a scrolling list in sight, until its reader scrolls up. */

import { makeButton } from "../dom/elements.js";

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
  let isFollowing = true;
  let top = 0;
  const button = makeButton("↓ Newest", () => follow(), {
    isPlain: false,
    className: "jllm-newest",
  });
  button.hidden = true;

  const toEnd = () => {
    list.scrollTop = list.scrollHeight;
    top = list.scrollTop;
  };
  const follow = () => {
    isFollowing = true;
    button.hidden = true;
    toEnd();
  };
  const showStart = (element: Element) => {
    const { top: listTop, height } = list.getBoundingClientRect();
    const { top: elementTop, height: elementHeight } = element.getBoundingClientRect();
    if (!isFollowing || elementHeight < height) return;
    isFollowing = false;
    button.hidden = false;
    list.scrollTop += elementTop - listTop;
    top = list.scrollTop;
  };
  const stay = () => {
    top = list.scrollTop;
    isFollowing = isAtEnd(list);
    button.hidden = isFollowing;
  };
  list.addEventListener("scroll", () => {
    // A notebook takes cells that are far away off the page, which scrolls them to their start.
    if (list.clientHeight === 0) return;
    if (isAtEnd(list)) isFollowing = true;
    else if (list.scrollTop < top) isFollowing = false;
    top = list.scrollTop;
    button.hidden = isFollowing;
  });
  const observer = new ResizeObserver(() => {
    if (list.clientHeight === 0 || isWritten(content)) return;
    if (isFollowing) toEnd();
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

/** Whether somebody writes in a list, whose field must not move away. */
function isWritten(content: HTMLElement): boolean {
  return content.querySelector("textarea:focus") !== null;
}
