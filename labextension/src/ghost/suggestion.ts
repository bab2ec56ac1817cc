/** The model's suggestions at one place while they are written, and the rest of them to write. */

import type { CodeEditor } from "@jupyterlab/codeeditor";
import { PromiseDelegate } from "@lumino/coreutils";
import type { Message } from "../connection/messages.js";
import type { Sheet } from "./desks.js";

/** A text before the cursor, and behind it. */
export interface Place {
  prefix: string;
  suffix: string;
}

interface Item {
  text: string;
  isFinal: boolean;
}

/** Return the place of an editor's cursor. */
export function placeOf(editor: CodeEditor.IEditor): Place {
  const source = editor.model.sharedModel.getSource();
  const offset = editor.getOffsetAt(editor.getCursorPosition());
  return { prefix: source.slice(0, offset), suffix: source.slice(offset) };
}

/** The suggestions for one request, by a model. Its texts grow as the kernel tells them. */
export class Suggestion {
  /** The request's id. */
  target = "";
  readonly items: Item[] = [];
  readonly place: Place;
  isOver = false;
  isCancelled = false;
  /** Why it came to nothing, if the kernel says so. */
  error: string | null = null;
  #changed = new PromiseDelegate<void>();

  constructor(
    readonly sheet: Sheet,
    readonly editor: CodeEditor.IEditor,
    readonly model: string,
  ) {
    this.place = placeOf(editor);
  }

  /** Resolves when something has changed since it was asked for. */
  get changed(): Promise<void> {
    return this.#changed.promise;
  }

  /** Whether nothing was typed but what one of the items says, and there may be more of it. */
  get isFitting(): boolean {
    return this.items.some(({ isFinal }, number) => {
      const left = this.rest(number);
      return left !== null && (left !== "" || !isFinal);
    });
  }

  take(message: Message): void {
    if (message.type !== "completion") return;
    const { item, text, is_final } = message;
    while (this.items.length <= item) this.items.push({ text: "", isFinal: false });
    this.items[item] = { text, isFinal: is_final };
    this.#notify();
  }

  end(error: string | null = null): void {
    this.isOver = true;
    this.error = error;
    for (const item of this.items) item.isFinal = true;
    this.#notify();
  }

  cancel(): void {
    this.isCancelled = true;
    this.end();
  }

  /** Return the rest of an item after the cursor; null where nothing of the item is to be shown. */
  rest(number: number): string | null {
    const { text = "" } = this.items[number] ?? {};
    if (this.isCancelled || this.editor.isDisposed) return null;
    return rest(text, this.place, placeOf(this.editor));
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = new PromiseDelegate();
  }
}

/**
 * Return the rest of a text for one place, once the cursor is at another place.
 *
 * The text must begin with what was typed in between. A bracket or quote that the editor has closed by
 * itself behind the cursor must be how it ends, and is left out then.
 */
export function rest(text: string, from: Place, now: Place): string | null {
  if (!now.prefix.startsWith(from.prefix) || !now.suffix.endsWith(from.suffix)) return null;
  const typed = now.prefix.slice(from.prefix.length);
  const closed = now.suffix.slice(0, now.suffix.length - from.suffix.length);
  if (!text.startsWith(typed)) return null;
  const left = text.slice(typed.length);
  return left.endsWith(closed) ? left.slice(0, left.length - closed.length) : null;
}

/** The next word of a text, with the blanks and signs before it. */
export function firstWord(text: string): string {
  return /^\s*[^\p{L}\p{N}_\s]*[\p{L}\p{N}_]*/u.exec(text)?.[0] || text;
}

/** The rest of a text's line; where that is empty, the next one that is not. */
export function firstLine(text: string): string {
  return /^\s*[^\n]*/u.exec(text)?.[0] || text;
}
