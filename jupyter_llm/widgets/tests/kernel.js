/** A kernel's end of a panel, driven by hand. */

/** @import { Comm } from "../src/store.js" */

/** Numbers what it says, as the real one does, and keeps what it was sent. */
export class Kernel {
  /** @type {any[]} */
  sent = [];
  seq = 0;
  isGone = false;
  /** @type {Set<(message: any) => void>} */
  #listeners = new Set();

  /** @type {Comm} */
  model = /** @type {any} */ ({
    on: (/** @type {string} */ _name, /** @type {(message: any) => void} */ listener) =>
      this.#listeners.add(listener),
    off: (/** @type {string} */ _name, /** @type {(message: any) => void} */ listener) =>
      this.#listeners.delete(listener),
    send: (/** @type {any} */ message) => {
      if (this.isGone) throw new Error("Cannot send");
      this.sent.push(message);
    },
  });

  /**
   * @param {object} message
   */
  say(message) {
    this.seq += 1;
    for (const listener of this.#listeners) listener({ ...message, seq: this.seq });
  }

  /** Send something that the network loses. */
  lose() {
    this.seq += 1;
  }

  /**
   * Return what was sent last of a kind.
   *
   * @param {string} type
   * @returns {any}
   */
  last(type) {
    return this.sent.findLast((message) => message.type === type);
  }

  /** Whether anybody listens. */
  get isHeard() {
    return this.#listeners.size > 0;
  }
}
