/** Tells listeners what has changed, at most once for each picture the browser draws. */

/** @import { Topic } from "./state.js" */

/**
 * @callback Listener
 * @param {ReadonlySet<Topic>} changed
 * @param {ReadonlySet<number>} turns  Numbers of turns that are new, other, or gone.
 * @returns {void}
 */

/** A page that is not seen draws nothing, and is told of changes so often. */
const UNSEEN_MS = 100;

/** Changes since listeners were told last. */
export class Changes {
  /** @type {Set<Listener>} */
  #listeners = new Set();
  /** @type {Set<Topic>} */
  #topics = new Set();
  /** @type {Set<number>} */
  #turns = new Set();
  #frame = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {Listener} listener
   * @returns {() => void}  Ends it.
   */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * @param {Topic} topic
   * @param {number} [number]
   */
  note = (topic, number) => {
    this.#topics.add(topic);
    if (number !== undefined) this.#turns.add(number);
    if (this.#timer !== undefined) return;
    // Whichever comes first: there are no frames while the page is hidden.
    this.#timer = setTimeout(this.#tell, UNSEEN_MS);
    this.#frame = globalThis.requestAnimationFrame?.(this.#tell) ?? 0;
  };

  /** Tell nobody any more. */
  dispose() {
    this.#listeners.clear();
    this.#settle();
  }

  #tell = () => {
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

  #settle() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    globalThis.cancelAnimationFrame?.(this.#frame);
  }
}
