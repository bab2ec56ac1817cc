/** One outermost block of an answer on the page: a paragraph, a list, a table, a piece of code. */

import { make, makeScrollable } from "../dom/elements.js";
import { trans } from "../dom/words.js";
import { CodeBlock, type OnCodeBlock } from "./code_block.js";
import { type Fence, type Part, render, shortened } from "./parser.js";
import { patchChildren } from "./patch.js";
import { sanitized } from "./sanitize.js";
import { mended } from "./unfinished.js";

export interface Content {
  source: string;
  /** Set when the block is one piece of code. */
  fence: Fence | null;
  /** Whether it is shown as it was written. */
  isPlain: boolean;
  /** Whether more may follow. */
  isGrowing: boolean;
}

/** A block as it stands on the page. */
export class Block {
  readonly element = make("div", "jllm-block");
  readonly #onCodeBlock: OnCodeBlock | undefined;
  #shown: Content | null = null;
  #parts: Part[] = [];
  readonly #codeBlocks = new WeakMap<Node, CodeBlock>();

  constructor(onCodeBlock?: OnCodeBlock) {
    this.#onCodeBlock = onCodeBlock;
    this.element.dir = "auto";
  }

  show(content: Content): void {
    const old = this.#shown;
    if (old?.source === content.source && old.isGrowing === content.isGrowing) return;
    this.#shown = content;
    if (content.isPlain || content.fence) this.#parts = [];
    if (content.isPlain) this.#showPlain(content);
    else if (content.fence) this.#showCode(content.fence, content);
    else this.#showMarkdown(content);
  }

  #showPlain({ source }: Content): void {
    const plain = make("pre", "jllm-plain", source);
    makeScrollable(plain, trans.__("Text as it was written"));
    patchChildren(this.element, make("div", "", plain));
  }

  #showCode(fence: Fence, content: Content): void {
    this.#patch(make("div", "", make("pre", "")), [fence], content.isGrowing);
  }

  /** Draw what is new: of a list or a table, what comes after the items that are as before. */
  #showMarkdown({ source, isGrowing }: Content): void {
    const parts = render(isGrowing ? mended(source) : source);
    const numSame = numSameItems(this.#parts, parts);
    this.#parts = parts;
    const drawn = parts.filter((_, index) => index === 0 || index > numSame);
    const wanted = sanitized(drawn.map(({ html }) => html).join(""));
    for (const link of wanted.querySelectorAll("a")) openOutside(link);
    for (const table of wanted.querySelectorAll("table")) wrapTable(table);
    for (const formula of wanted.querySelectorAll("math[display=block]")) markDisplay(formula);
    const fences = drawn.flatMap((part) => part.fences);
    this.#patch(wanted, fences, isGrowing, numSame);
  }

  /**
   * Show elements, with the code that goes into their `pre`s. `numKept` is how many items of the
   * list or table are there already.
   */
  #patch(
    wanted: DocumentFragment | HTMLElement,
    fences: Fence[],
    isGrowing: boolean,
    numKept = 0,
  ): void {
    const fenceOf = new Map<Node, Fence>();
    wanted.querySelectorAll("pre").forEach((pre, index) => {
      const fence = fences[index];
      if (fence) fenceOf.set(pre, fence);
    });
    const isComplete = (fence: Fence) => !isGrowing || fence.isClosed;
    const items = wanted.querySelector("ul, ol, tbody");
    patchChildren(this.element, wanted, {
      numKept: (node) => (node === items ? numKept : 0),
      keep: (old, next) => {
        const fence = fenceOf.get(next);
        const codeBlock = this.#codeBlocks.get(old);
        if (!fence || !codeBlock?.canShow(fence)) return false;
        codeBlock.show(fence, isComplete(fence));
        return true;
      },
      make: (next) => this.#made(next, fenceOf, isComplete),
    });
  }

  /** A node with code in the place of each empty `pre`. */
  #made(node: Node, fenceOf: Map<Node, Fence>, isComplete: (fence: Fence) => boolean): Node {
    if (!(node instanceof Element)) return node;
    const fence = fenceOf.get(node);
    if (fence) {
      const codeBlock = new CodeBlock(this.#onCodeBlock);
      codeBlock.show(fence, isComplete(fence));
      this.#codeBlocks.set(codeBlock.element, codeBlock);
      return codeBlock.element;
    }
    for (const pre of node.querySelectorAll("pre")) {
      pre.replaceWith(this.#made(pre, fenceOf, isComplete));
    }
    return node;
  }
}

/** Count the equal items at the start of two versions of a list or table. */
function numSameItems(old: Part[], parts: Part[]): number {
  let same = 0;
  while (same < parts.length - 1 && isSame(old[same], parts[same])) same += 1;
  return Math.max(0, same - 1);
}

/** Whether two parts look the same, and no code in them waits for its end. */
function isSame(left: Part | undefined, right: Part | undefined): boolean {
  if (!left || !right || left.html !== right.html) return false;
  return right.fences.every((fence, index) => {
    const old = left.fences[index];
    const isClosed = old?.isClosed && fence.isClosed;
    return isClosed && old.source === fence.source && old.language === fence.language;
  });
}

/** Let a link open beside the notebook, and say where it leads. */
function openOutside(link: HTMLAnchorElement): void {
  const address = link.getAttribute("href");
  if (!address) return;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  const text = link.textContent.trim();
  if ([address, `mailto:${text}`].includes(text) || `${text}/` === address) return;
  const target = make("span", "jllm-link-target", ` (${shortened(address)})`);
  target.dir = "ltr";
  link.after(target);
}

/** Put a formula on lines of its own, which has a span around it. */
function markDisplay(formula: Element): void {
  const span = formula.parentElement;
  if (!span) return;
  span.className = "jllm-math";
  makeScrollable(span, trans.__("Formula"));
}

/** Let a wide table scroll by itself. */
function wrapTable(table: HTMLTableElement): void {
  const wrapper = make("div", "jllm-table");
  makeScrollable(wrapper, trans.__("Table"));
  table.replaceWith(wrapper);
  wrapper.append(table);
}
