/** An answer on the page, while it is written and afterwards.
 *
 * Each outermost block (a paragraph, a list, a piece of code …) is drawn by itself. While a text
 * grows, only its end is read again: what is two lines before it stays what it is.
 */

import { Block } from "./block.js";
import { outerBlocks } from "./parser.js";
import { withoutBareMarks } from "./unfinished.js";

/** @import { OnCodeBlock } from "./code_block.js" */

/**
 * @typedef {object} MarkdownView
 * @property {HTMLElement} element
 * @property {(text: string, isFinal: boolean) => void} update
 */

/** A longer block is shown as it was written: no reader's list, but something gone wrong. */
const LONGEST_BLOCK = 20_000;

/** What comes after so much text is shown as it was written, but for code. */
const MOST_MARKDOWN = 400_000;

/**
 * Make a view of a Markdown text nobody vouches for. Nothing in it runs, loads, or is styled.
 *
 * @param {{ onCodeBlock?: OnCodeBlock }} [options]
 *   `onCodeBlock` is called for each piece of code between fences as soon as it is complete.
 * @returns {MarkdownView}
 */
export function createMarkdownView({ onCodeBlock } = {}) {
  const element = document.createElement("div");
  element.className = "jllm-markdown";
  /** @type {Block[]} */
  const blocks = [];
  // The beginning of the text that no longer changes, and how many blocks it is.
  let settled = { text: "", numBlocks: 0 };

  /**
   * @param {string} written
   * @param {boolean} isFinal
   */
  function update(written, isFinal) {
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

/**
 * Return a text with one kind of line ends, as the parser wants it.
 *
 * @param {string} text
 * @returns {string}
 */
function normalized(text) {
  return text.replace(/\r\n?/g, "\n").replaceAll("\0", "\uFFFD");
}

/**
 * Cut a text into blocks.
 *
 * @param {string} text
 * @param {number} offset  How much text stands before it.
 * @param {boolean} isFinal
 * @returns {(import("./block.js").Content & { start: number })[]}
 */
function contentsOf(text, offset, isFinal) {
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

/**
 * @param {string} text
 * @returns {number[]}
 */
function lineStarts(text) {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}

/**
 * Return how much of a text no longer changes: all before its last block, if that has two lines.
 *
 * A line that has no end yet may become something else, and a table is known by its second line.
 *
 * @param {string} text
 * @param {number} lastStart
 * @returns {number}
 */
function settledLength(text, lastStart) {
  const second = text.indexOf("\n", lastStart) + 1;
  return second > 0 && text.includes("\n", second) ? lastStart : 0;
}
