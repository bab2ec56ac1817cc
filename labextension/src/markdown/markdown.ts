/** An answer on the page, while it is written and afterwards.
 *
 * Each outermost block (a paragraph, a list, a piece of code …) is drawn by itself. While a text
 * grows, only its end is read again: what is two lines before it stays what it is.
 */

import { make } from "../dom/elements.js";
import { Block, type Content } from "./block.js";
import type { OnCodeBlock } from "./code_block.js";
import { outerBlocks } from "./parser.js";
import { withoutBareMarks } from "./unfinished.js";

export interface MarkdownView {
  element: HTMLElement;
  update: (text: string, isFinal: boolean) => void;
}

/** A longer block is shown as it was written: no reader's list, but something gone wrong. */
const LONGEST_BLOCK = 20_000;

/** Text after so many characters is shown as plain text, except code. */
const MOST_MARKDOWN = 400_000;

/**
 * Make a view of a Markdown text nobody vouches for. Nothing in it runs, loads, or is styled.
 * `onCodeBlock` is called for each piece of code between fences as soon as it is complete.
 */
export function createMarkdownView(onCodeBlock?: OnCodeBlock): MarkdownView {
  const element = make("div", "jllm-markdown");
  const blocks: Block[] = [];
  // The beginning of the text that no longer changes, and how many blocks it is.
  let settled = { text: "", numBlocks: 0 };

  function update(written: string, isFinal: boolean): void {
    const text = normalized(written);
    if (isFinal || !text.startsWith(settled.text)) settled = { text: "", numBlocks: 0 };
    const { numBlocks } = settled;
    const from = settled.text.length;
    const rest = text.slice(from);
    const contents = contentsOf(isFinal ? rest : withoutBareMarks(rest), from, isFinal);
    for (const block of blocks.splice(numBlocks + contents.length)) block.element.remove();
    contents.forEach((content, index) => {
      let block = blocks[numBlocks + index];
      if (!block) {
        block = new Block(onCodeBlock);
        blocks.push(block);
        element.append(block.element);
      }
      block.show(content);
    });
    const length = from + settledLength(rest, contents.at(-1)?.start ?? 0);
    if (!isFinal && length > from) {
      settled = { text: text.slice(0, length), numBlocks: numBlocks + contents.length - 1 };
    }
  }

  return { element, update };
}

/** A text with one kind of line ends, as the parser wants it. */
function normalized(text: string): string {
  return text.replace(/\r\n?/g, "\n").replaceAll("\0", "\uFFFD");
}

/** Cut a text into blocks. `offset` is how much text stands before it. */
function contentsOf(
  text: string,
  offset: number,
  isFinal: boolean,
): (Content & { start: number })[] {
  const starts = lineStarts(text);
  const found = outerBlocks(text);
  return found.map(({ firstLine, endLine, fence }, index) => {
    const start = starts[firstLine] ?? text.length;
    const source = text.slice(start, starts[endLine] ?? text.length);
    const isLong = source.length > LONGEST_BLOCK || offset + start > MOST_MARKDOWN;
    return {
      start,
      source,
      fence,
      isPlain: isLong && !fence,
      isGrowing: !isFinal && index === found.length - 1,
    };
  });
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}

/**
 * Return the length of the start that no longer changes: all before the last block, if that block
 * has two lines.
 *
 * A line that has no end yet may become something else, and a table is known by its second line.
 */
function settledLength(text: string, lastStart: number): number {
  const second = text.indexOf("\n", lastStart) + 1;
  return second > 0 && text.includes("\n", second) ? lastStart : 0;
}
