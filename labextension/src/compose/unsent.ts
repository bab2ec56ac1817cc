/** The text in a chat's field that nobody has sent: it survives a reload of the page. */

import type { ChatPlace } from "../page/cells.js";

const PREFIX = "jupyter-llm:unsent";

/** Keeps one field's text in the browser's storage of the tab, by notebook, cell and chat. */
export class Unsent {
  readonly #place: () => ChatPlace | null;
  #chat: string | null = null;
  /** The key under which this field has stored its text. */
  #key: string | null = null;
  #text = "";

  /** `place` returns the field's place; null: the place is unknown, so nothing is kept. */
  constructor(place: () => ChatPlace | null) {
    this.#place = place;
  }

  /** Take note of the chat's name, and return the text that was kept for the chat, if it is news. */
  follow(chat: string): string {
    const isFirst = this.#chat === null;
    this.#chat = chat;
    const kept = isFirst && !this.#text ? read(this.#nextKey) : "";
    if (!kept) this.keep(this.#text);
    return kept;
  }

  /** Keep a text in place of the one that this field kept before; an empty one keeps nothing. */
  keep(text: string): void {
    if (this.#key !== null && read(this.#key) === this.#text) write(this.#key, "");
    this.#text = text;
    this.#key = text ? this.#nextKey : null;
    if (this.#key !== null) write(this.#key, text);
  }

  get #nextKey(): string | null {
    const place = this.#place();
    return place && this.#chat !== null ? keyOf(place, this.#chat) : null;
  }
}

/** Remove the text that the field of a chat kept. */
export function forget(place: ChatPlace, chat: string): void {
  write(keyOf(place, chat), "");
}

function keyOf({ path, cell }: ChatPlace, chat: string): string {
  return JSON.stringify([PREFIX, path, cell, chat]);
}

// A browser may refuse its storage, as it does in a frame of another site, or have no room left.

function read(key: string | null): string {
  try {
    return (key !== null && sessionStorage.getItem(key)) || "";
  } catch {
    return "";
  }
}

function write(key: string, text: string): void {
  try {
    if (text) sessionStorage.setItem(key, text);
    else sessionStorage.removeItem(key);
  } catch {
    // The text is still in its field.
  }
}
