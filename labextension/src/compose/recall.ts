/** Goes through what was typed before, as shells do. */

type Field = Pick<HTMLTextAreaElement, "value" | "selectionStart" | "selectionEnd">;
type Key = Pick<KeyboardEvent, "key" | "shiftKey" | "altKey" | "ctrlKey" | "metaKey">;

/** The place among earlier prompts, with the text that was being written before. */
export class Recall {
  readonly #history: () => string[];
  #draft = "";
  #prompts: string[] = [];
  #index = 0;

  /** `history` tells earlier prompts, the latest last. */
  constructor(history: () => string[]) {
    this.#history = history;
  }

  /** Whether an earlier prompt is shown. */
  get isActive(): boolean {
    return this.#index < this.#prompts.length;
  }

  /** Return the text that a key puts into a field; null if the key means something else. */
  textFor({ key, ...keys }: Key, field: Field): string | null {
    const { value, selectionStart: at } = field;
    const hasModifier = keys.shiftKey || keys.altKey || keys.ctrlKey || keys.metaKey;
    if (hasModifier || at !== field.selectionEnd) return null;
    const isInFirst = this.isActive && !value.slice(0, at).includes("\n");
    if (key === "ArrowUp") return at === 0 || isInFirst ? this.older(value) : null;
    // Else the line below is meant.
    return key === "ArrowDown" && !value.slice(at).includes("\n") ? this.newer() : null;
  }

  /** The prompt before the one that is shown, or null if there is none. `text` is what is shown. */
  older(text: string): string | null {
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

  /** The prompt after the shown one, at the end what was being written; null if that is shown. */
  newer(): string | null {
    if (!this.isActive) return null;
    this.#index += 1;
    return this.#prompts[this.#index] ?? this.#draft;
  }

  /** Begin anew from the latest: the text was changed or sent. */
  reset(): void {
    this.#prompts = [];
    this.#index = 0;
  }
}
