/** Tells the kernel what is being written, so that the model has read it when it is sent. */

import type { SendOptions } from "../kernel/store.js";

/** A text, and what goes along with it: another object when that changes. */
export interface Draft {
  text: string;
  along: Pick<SendOptions, "attachments" | "isAlone">;
}

/**
 * So long after something has changed it is told, also while somebody types on: at five keys a
 * second there is no longer pause.
 */
const PAUSE_MS = 300;

/** Behind the end of a sentence Enter may be the next key, so it is told at once. */
const IS_SENTENCE = /[.?!。？！]\s*$/;

const NOTHING: Draft = { text: "", along: {} };

/** One field, and what the kernel knows of it. */
export class Drafting {
  readonly #look: () => Draft;
  readonly #deliver: (draft: Draft) => Promise<unknown>;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The draft that was sent last. */
  #sent = NOTHING;
  #isSending = false;

  /** `look` tells what is there now; `tell` ends when the kernel has it. */
  constructor(look: () => Draft, deliver: (draft: Draft) => Promise<unknown>) {
    this.#look = look;
    this.#deliver = deliver;
  }

  /** Take note that something may have changed, be it by what was typed here. */
  changed(isTyped = true): void {
    if (isTyped && IS_SENTENCE.test(this.#look().text)) this.#send(this.#look());
    else this.#timer ??= this.#later();
  }

  /** Take note that what was there was sent, so that the kernel knows that nothing is. */
  sent(): void {
    this.#stop();
    this.#sent = NOTHING;
  }

  /** Say that nothing is being written any more. */
  dispose(): void {
    this.#isSending = false;
    this.#send(NOTHING);
  }

  #later(): ReturnType<typeof setTimeout> {
    return setTimeout(() => this.#send(this.#look()), PAUSE_MS);
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #send(draft: Draft): Promise<void> {
    this.#stop();
    const text = draft.text.trim() ? draft.text : "";
    const isSame = text === this.#sent.text && draft.along === this.#sent.along;
    if (isSame || !(text || this.#sent.text)) return;
    // Where a kernel takes no messages, they do not pile up.
    if (this.#isSending) {
      this.#timer = this.#later();
      return;
    }
    this.#isSending = true;
    this.#sent = { ...draft, text };
    await this.#deliver(this.#sent);
    this.#isSending = false;
  }
}
