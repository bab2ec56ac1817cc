/** Tells listeners what has changed, at most once for each picture the browser draws. */

import type { Topic } from "./state.js";

/** `turns` are the numbers of those that are new, other, or gone. */
export type Listener = (changed: ReadonlySet<Topic>, turns: ReadonlySet<number>) => void;

/** A page that is not seen draws nothing, and is told of changes so often. */
const UNSEEN_MS = 100;

/** Changes since listeners were told last. */
export class Changes {
  readonly #listeners = new Set<Listener>();
  #topics = new Set<Topic>();
  #turns = new Set<number>();
  #frame = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Returns what ends it. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  readonly note = (topic: Topic, number?: number): void => {
    this.#topics.add(topic);
    if (number !== undefined) this.#turns.add(number);
    if (this.#timer !== undefined) return;
    // Whichever comes first: there are no frames while the page is hidden.
    this.#timer = setTimeout(this.#tell, UNSEEN_MS);
    this.#frame = globalThis.requestAnimationFrame?.(this.#tell) ?? 0;
  };

  /** Tell nobody any more. */
  dispose(): void {
    this.#listeners.clear();
    this.#settle();
  }

  readonly #tell = (): void => {
    this.#settle();
    const [topics, turns] = [this.#topics, this.#turns];
    this.#topics = new Set();
    this.#turns = new Set();
    for (const listener of [...this.#listeners]) {
      try {
        listener(topics, turns);
      } catch (error) {
        // One view that fails must not silence the others; the console hears of it.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  };

  #settle(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    globalThis.cancelAnimationFrame?.(this.#frame);
  }
}
