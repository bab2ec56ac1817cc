/** What the model suggests at one place, while it is written, and what of it is left to write. */

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

/** The suggestions for one request. Its texts grow as the kernel tells them. */
export class Suggestion {
  readonly items: Item[] = [];
  isOver = false;
  isCancelled = false;
  /** Why it came to nothing, if the kernel says so. */
  error: string | null = null;
  #changed = new PromiseDelegate<void>();

  constructor(readonly place: Place) {}

  /** Resolves when something has changed since it was asked for. */
  get changed(): Promise<void> {
    return this.#changed.promise;
  }

  take(message: Message): void {
    if (message.type !== "completion") return;
    const { item, text, is_final } = message;
    while (this.items.length <= item) this.items.push({ text: "", isFinal: false });
    this.items[item] = { text, isFinal: is_final };
    this.#tell();
  }

  end(error: string | null = null): void {
    this.isOver = true;
    this.error = error;
    for (const item of this.items) item.isFinal = true;
    this.#tell();
  }

  cancel(): void {
    this.isCancelled = true;
    this.end();
  }

  /** What is left of an item where the cursor is now; null where something else stands there. */
  rest(number: number, now: Place): string | null {
    return rest(this.items[number]?.text ?? "", this.place, now);
  }

  /** Whether nothing was typed but what one of the items says, and there may be more of it. */
  goesOnAt(now: Place): boolean {
    return this.items.some(({ isFinal }, number) => {
      const left = this.rest(number, now);
      return left !== null && (left !== "" || !isFinal);
    });
  }

  #tell(): void {
    this.#changed.resolve();
    this.#changed = new PromiseDelegate();
  }
}

/** Where the cursor of an editor is. */
export function placeOf(editor: CodeEditor.IEditor): Place {
  const source = editor.model.sharedModel.getSource();
  const offset = editor.getOffsetAt(editor.getCursorPosition());
  return { prefix: source.slice(0, offset), suffix: source.slice(offset) };
}

/** Suggestions that were asked for in an editor, of a model. */
export class Asked extends Suggestion {
  /** The request's id. */
  target = "";

  constructor(
    readonly sheet: Sheet,
    readonly editor: CodeEditor.IEditor,
    readonly model: string,
  ) {
    super(placeOf(editor));
  }

  /** Whether they still hold where the cursor is. */
  get isStanding(): boolean {
    return !this.editor.isDisposed && this.goesOnAt(placeOf(this.editor));
  }

  /** What is left of an item to show; null where it is nothing to show any more. */
  left(number: number): string | null {
    if (this.isCancelled || this.editor.isDisposed) return null;
    return this.rest(number, placeOf(this.editor));
  }
}

/**
 * What is left of a text that was to be written at one place, once the cursor is at another.
 *
 * What was typed in between must be how it begins. A bracket or quote that the editor has closed by
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
