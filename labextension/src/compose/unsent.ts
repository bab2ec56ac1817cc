/** The text in a chat's field that nobody has sent: it survives a reload of the page. */

const PREFIX = "jupyter-llm:unsent";

/** Keeps one field's text in the browser's storage of the tab, by notebook and chat. */
export class Unsent {
  readonly #path: () => string | null;
  #chat: string | null = null;
  #key: string | null = null;
  #text = "";

  /** `path` returns where the notebook is; null: unknown, so nothing is kept. */
  constructor(path: () => string | null) {
    this.#path = path;
  }

  /** Take note of the chat's name, and return the text that was kept for the chat, if it is news. */
  follow(chat: string): string {
    const isFirst = this.#chat === null;
    this.#chat = chat;
    const kept = isFirst && !this.#text ? read(this.#place) : "";
    if (!kept) this.keep(this.#text);
    return kept;
  }

  /** Keep a text; an empty one keeps nothing. */
  keep(text: string): void {
    this.#text = text;
    const place = this.#place;
    if (this.#key !== null && this.#key !== place) write(this.#key, ""); // another name or path
    this.#key = place;
    if (place !== null) write(place, text);
  }

  get #place(): string | null {
    const path = this.#path();
    if (path === null || this.#chat === null) return null;
    return JSON.stringify([PREFIX, path, this.#chat]);
  }
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
