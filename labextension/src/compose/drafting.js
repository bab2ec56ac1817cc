/** Tells the kernel what is being written, so that the model has read it when it is sent. */

/** @import { SendOptions } from "../kernel/store.js" */

/**
 * A text, and what goes along with it: another object when that changes.
 *
 * @typedef {{ text: string, along: Pick<SendOptions, "attachments" | "isAlone"> }} Draft
 */

/**
 * So long after something has changed it is told, also while somebody types on: at five keys a
 * second there is no longer pause.
 */
const PAUSE_MS = 300;

/** Behind the end of a sentence Enter may be the next key, so it is told at once. */
const IS_SENTENCE = /[.?!。？！]\s*$/;

/** @type {Draft} */
const NOTHING = { text: "", along: {} };

/** One field, and what the kernel knows of it. */
export class Drafting {
  #look;
  #tell;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** What was told last. */
  #told = NOTHING;
  #isTelling = false;

  /**
   * @param {() => Draft} look  What is there now.
   * @param {(draft: Draft) => Promise<unknown>} tell  Ends when the kernel has it.
   */
  constructor(look, tell) {
    this.#look = look;
    this.#tell = tell;
  }

  /** Take note that something may have changed. */
  changed() {
    if (IS_SENTENCE.test(this.#look().text)) this.#send(this.#look());
    else this.#timer ??= this.#later();
  }

  /** Take note that what was there was sent, so that the kernel knows that nothing is. */
  sent() {
    this.#stop();
    this.#told = NOTHING;
  }

  /** Say that nothing is being written any more. */
  dispose() {
    this.#isTelling = false;
    this.#send(NOTHING);
  }

  #later() {
    return setTimeout(() => this.#send(this.#look()), PAUSE_MS);
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /**
   * @param {Draft} draft
   */
  async #send(draft) {
    this.#stop();
    const text = draft.text.trim() ? draft.text : "";
    const isSame = text === this.#told.text && draft.along === this.#told.along;
    if (isSame || !(text || this.#told.text)) return;
    // Where a kernel takes no messages, they do not pile up.
    if (this.#isTelling) {
      this.#timer = this.#later();
      return;
    }
    this.#isTelling = true;
    this.#told = { ...draft, text };
    await this.#tell(this.#told);
    this.#isTelling = false;
  }
}
