/** A kernel's end of a panel, driven by hand. */

/** @import { Comm } from "../lib/kernel/store.js" */

/** Numbers what it says, as the real one does, and keeps what it was sent. */
export class Kernel {
  /** @type {any[]} */
  sent = [];
  seq = 0;
  isGone = false;
  #events = new EventTarget();
  /** @type {Map<(value: any) => void, EventListener>} */
  #heard = new Map();

  /** @type {Comm} */
  model = /** @type {any} */ ({
    on: (/** @type {string} */ name, /** @type {(value: any) => void} */ listener) => {
      const hear = (/** @type {any} */ event) => listener(event.detail);
      this.#heard.set(listener, hear);
      this.#events.addEventListener(name, hear);
    },
    off: (/** @type {string} */ name, /** @type {(value: any) => void} */ listener) => {
      this.#events.removeEventListener(name, this.#heard.get(listener) ?? null);
      this.#heard.delete(listener);
    },
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
    const detail = { ...message, seq: this.seq };
    this.#events.dispatchEvent(new CustomEvent("msg:custom", { detail }));
  }

  /** End, as with a restart: the page notices that its comm is dead. */
  die() {
    this.isGone = true;
    this.#events.dispatchEvent(new CustomEvent("comm_live_update"));
  }

  /** Be another one: nothing that was asked before is known. */
  restart() {
    this.isGone = false;
    this.seq = 0;
    this.#events.dispatchEvent(new CustomEvent("comm_live_update"));
  }

  /** Send something that the network loses. */
  lose() {
    this.seq += 1;
  }

  /**
   * Return the last call of a method.
   *
   * @param {string} method
   * @returns {any}
   */
  last(method) {
    return this.sent.findLast((message) => message.method === method);
  }

  /** Whether anybody listens. */
  get isHeard() {
    return this.#heard.size > 0;
  }
}
