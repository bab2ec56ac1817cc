/** Code in an answer: its language, room for buttons, and the code in colours. */

import { withVisibleControls } from "../dom/characters.js";
import { makeScrollable } from "../dom/scrolling.js";
import { highlighted } from "./highlight.js";
import type { Fence } from "./parser.js";
import { patchChildren } from "./patch.js";

/** What is called once a piece of code is complete. Buttons go into `toolbar`. */
export type OnCodeBlock = (block: {
  toolbar: HTMLElement;
  source: string;
  language: string;
}) => void;

/** So much code is coloured at a time while it grows, or more where a string is long. */
const PIECE = 1000;

/** Code on the page, that grows until it is complete. */
export class CodeBlock {
  readonly element: HTMLElement = document.createElement("div");
  readonly #language = document.createElement("span");
  readonly #toolbar = document.createElement("span");
  readonly #pre = document.createElement("pre");
  #piece = document.createElement("span");
  readonly #rest = document.createTextNode("");
  #fence: Fence | null = null;
  #pieceStart = 0;
  #pieceSource = "";
  #isComplete = false;
  readonly #onComplete: OnCodeBlock | undefined;

  constructor(onComplete?: OnCodeBlock) {
    this.#onComplete = onComplete;
    this.element.className = "jllm-code";
    this.element.dir = "ltr";
    this.#language.className = "jllm-code-language";
    this.#toolbar.className = "jllm-code-toolbar";
    const bar = document.createElement("div");
    bar.className = "jllm-code-bar";
    bar.append(this.#language, this.#toolbar);
    const code = document.createElement("code");
    code.append(this.#piece, this.#rest);
    this.#pre.append(code);
    this.element.append(bar, this.#pre);
  }

  /** Whether this can become the given code without a change that a reader would notice. */
  canShow(fence: Fence): boolean {
    const old = this.#fence;
    if (!old) return true;
    if (old.language !== fence.language || old.isFenced !== fence.isFenced) return false;
    return this.#isComplete ? old.source === fence.source : fence.source.startsWith(old.source);
  }

  show(fence: Fence, isComplete: boolean): void {
    const isKnown = this.#fence?.source === fence.source && this.#isComplete === isComplete;
    if (this.#fence && isKnown) return;
    if (!this.#fence) this.#name(withVisibleControls(fence.language));
    this.#fence = fence;
    this.#draw(fence, isComplete);
    if (isComplete && !this.#isComplete && fence.isFenced) {
      this.#onComplete?.({
        toolbar: this.#toolbar,
        source: fence.source,
        language: fence.language,
      });
    }
    this.#isComplete = isComplete;
  }

  #name(language: string): void {
    this.#language.textContent = language;
    makeScrollable(this.#pre, language ? `Code in ${language}` : "Code");
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
    this.#piece = document.createElement("span");
    this.#pieceStart = start;
    this.#pieceSource = "";
    this.#rest.before(this.#piece);
  }
}
