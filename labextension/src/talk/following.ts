/** Keeps the newest line of a scrolling list in sight, until its reader scrolls up. */

import { makeButton } from "../dom/elements.js";
import { trans } from "../dom/words.js";

/** The distance from the end that counts as at the end. */
const NEAR_PX = 24;

/** Follows the end of what a list shows. */
export class Follower {
  /** Leads back to the end; hidden while that is followed. */
  readonly button = makeButton(trans.__("↓ Newest"), () => this.follow(), {
    isPlain: false,
    className: "jllm-newest",
  });
  readonly #list: HTMLElement;
  #top = 0;

  /** `list` is what scrolls; `content` is what grows in it. */
  constructor(list: HTMLElement, content: HTMLElement, signal: AbortSignal) {
    this.#list = list;
    this.button.hidden = true;
    list.addEventListener("scroll", () => {
      // A notebook takes cells that are far away off the page, which scrolls them to their start.
      if (list.clientHeight === 0) return;
      if (this.#isAtEnd) this.button.hidden = true;
      else if (list.scrollTop < this.#top) this.button.hidden = false;
      this.#top = list.scrollTop;
    });
    const observer = new ResizeObserver(() => {
      // While somebody writes in the list, the field must not move away.
      if (list.clientHeight === 0 || content.querySelector("textarea:focus")) return;
      if (this.button.hidden) this.follow();
      else if (list.scrollTop === 0) list.scrollTop = this.#top;
    });
    observer.observe(list);
    observer.observe(content);
    signal.addEventListener("abort", () => observer.disconnect());
  }

  /** Go to the end and stay there. */
  follow(): void {
    this.button.hidden = true;
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#top = this.#list.scrollTop;
  }

  /** Show what is new at the end from its start on. */
  showStart(element: Element): void {
    const list = this.#list.getBoundingClientRect();
    const { top, height } = element.getBoundingClientRect();
    if (!this.button.hidden || height < list.height) return;
    this.button.hidden = false;
    this.#list.scrollTop += top - list.top;
    this.#top = this.#list.scrollTop;
  }

  /** Stay at what is in sight, unless that is the end. */
  stay(): void {
    this.#top = this.#list.scrollTop;
    this.button.hidden = this.#isAtEnd;
  }

  get #isAtEnd(): boolean {
    const { scrollHeight, clientHeight, scrollTop } = this.#list;
    return scrollHeight - clientHeight - scrollTop < NEAR_PX;
  }
}
