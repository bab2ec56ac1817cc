/** Goes through what was typed before, as shells do. */

/** Where one is among earlier prompts, and what was being written before. */
export class Recall {
  #history;
  #draft = "";
  /** @type {string[]} */
  #prompts = [];
  #index = 0;

  /**
   * @param {() => string[]} history  Earlier prompts, the latest last.
   */
  constructor(history) {
    this.#history = history;
  }

  /** Whether an earlier prompt is shown. */
  get isActive() {
    return this.#index < this.#prompts.length;
  }

  /**
   * Return the prompt before the one that is shown, or null if there is none.
   *
   * @param {string} text  What is shown.
   * @returns {string | null}
   */
  older(text) {
    if (!this.isActive) {
      const history = this.#history();
      this.#prompts = history.at(-1) === text ? history.slice(0, -1) : history; // shown already
      this.#index = this.#prompts.length;
      this.#draft = text;
    }
    if (this.#index === 0) return null;
    this.#index -= 1;
    return this.#prompts[this.#index] ?? null;
  }

  /**
   * Return the prompt after the one that is shown, at the end what was being written; null if that
   * is shown already.
   *
   * @returns {string | null}
   */
  newer() {
    if (!this.isActive) return null;
    this.#index += 1;
    return this.#prompts[this.#index] ?? this.#draft;
  }

  /** Begin anew from the latest: the text was changed or sent. */
  reset() {
    this.#prompts = [];
    this.#index = 0;
  }
}
