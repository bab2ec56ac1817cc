/** Code in an answer: its language, room for buttons, and the code in colours. */

import { withVisibleControls } from "../dom/characters.js";
import { make, makeScrollable } from "../dom/elements.js";
import { trans } from "../dom/words.js";
import { highlighted } from "./highlight.js";
import type { Fence } from "./parser.js";
import { patchChildren } from "./patch.js";

/** A function that is called once a piece of code is complete. It puts buttons into `toolbar`. */
export type OnCodeBlock = (block: {
  toolbar: HTMLElement;
  source: string;
  language: string;
}) => void;

/** The characters that are coloured at a time while code grows; more where a string is long. */
const PIECE = 1000;

/** Code on the page, that grows until it is complete. */
export class CodeBlock {
  readonly #language = make("span", "jllm-code-language");
  readonly #toolbar = make("span", "jllm-code-toolbar");
  #piece = make("span", "");
  readonly #rest = document.createTextNode("");
  readonly #pre = make("pre", "", make("code", "", this.#piece, this.#rest));
  readonly #bar = make("div", "jllm-code-bar", this.#language, this.#toolbar);
  readonly element: HTMLElement = make("div", "jllm-code", this.#bar, this.#pre);
  #fence: Fence | null = null;
  #pieceStart = 0;
  #pieceSource = "";
  #isComplete = false;
  readonly #onComplete: OnCodeBlock | undefined;

  constructor(onComplete?: OnCodeBlock) {
    this.#onComplete = onComplete;
    this.element.dir = "ltr";
  }

  /** Whether this can become the given code without a change that a reader would notice. */
  canShow(fence: Fence): boolean {
    const old = this.#fence;
    if (!old) return true;
    if (old.language !== fence.language || old.isFenced !== fence.isFenced) return false;
    return this.#isComplete ? old.source === fence.source : fence.source.startsWith(old.source);
  }

  show(fence: Fence, isComplete: boolean): void {
    const isSame = this.#fence?.source === fence.source && this.#isComplete === isComplete;
    if (this.#fence && isSame) return;
    if (!this.#fence) this.#name(withVisibleControls(fence.language));
    this.#fence = fence;
    this.#draw(fence, isComplete);
    if (isComplete && !this.#isComplete && fence.isFenced) {
      const { source, language } = fence;
      this.#onComplete?.({ toolbar: this.#toolbar, source, language });
    }
    this.#isComplete = isComplete;
  }

  #name(language: string): void {
    this.#language.textContent = language;
    makeScrollable(this.#pre, language ? trans.__("Code in %1", language) : trans.__("Code"));
  }

  /** Colour whole lines while code grows, and only the last of them: not all of it every time. */
  #draw({ source, language }: Fence, isComplete: boolean): void {
    const end = isComplete ? source.length : source.lastIndexOf("\n") + 1;
    const pieceSource = source.slice(this.#pieceStart, end);
    if (pieceSource !== this.#pieceSource) {
      this.#pieceSource = pieceSource;
      const { elements, isWhole } = highlighted(pieceSource, language);
      patchChildren(this.#piece, elements);
      if (isWhole && !isComplete && pieceSource.length >= PIECE) this.#beginPiece(end);
    }
    this.#rest.data = withVisibleControls(source.slice(end));
  }

  /** Leave the last lines as they are from now on. */
  #beginPiece(start: number): void {
    this.#piece = make("span", "");
    this.#pieceStart = start;
    this.#pieceSource = "";
    this.#rest.before(this.#piece);
  }
}
