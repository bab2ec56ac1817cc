/** Formulas: `$…$`, `$$…$$`, `\(…\)` and `\[…\]`, as a plugin of markdown-it over Temml.
 *
 * A formula that Temml cannot read is shown as code. Temml writes MathML, which browsers draw
 * themselves: no fonts, no style sheet, and screen readers read it.
 */

import type { MarkdownIt, StateBlock, StateInline } from "markdown-it";
import temml from "temml";
import { withVisibleControls } from "../dom/characters.js";

/** A formula that is longer is text. It also bounds how far the end of each is looked for. */
const LONGEST_FORMULA = 2000;
const MOST_REMEMBERED = 500;

const DELIMITERS: readonly { open: string; close: string; isDisplay: boolean }[] = [
  { open: "$$", close: "$$", isDisplay: true },
  { open: "$", close: "$", isDisplay: false },
  { open: "\\[", close: "\\]", isDisplay: true },
  { open: "\\(", close: "\\)", isDisplay: false },
];

const remembered = new Map<string, string>();

/** Teach a parser formulas. */
export function formulas(parser: MarkdownIt): void {
  parser.inline.ruler.before("escape", "formula", formulaRule);
  parser.block.ruler.before("code", "formula", formulaBlockRule, {
    alt: ["paragraph", "blockquote", "list"],
  });
  parser.renderer.rules.formula = (tokens, index) => {
    const token = tokens[index];
    return token ? formulaHtml(token.content, token.block, parser.utils.escapeHtml) : "";
  };
}

/** Read a formula within a paragraph. */
function formulaRule(state: StateInline, silent: boolean): boolean {
  const { src, pos } = state;
  const delimiter = DELIMITERS.find(({ open }) => src.startsWith(open, pos));
  if (!delimiter) return false;
  const start = pos + delimiter.open.length;
  const length = lengthOfFormula(src.slice(start, start + LONGEST_FORMULA), delimiter.close);
  if (length === null) return false;
  const end = start + length;
  if (delimiter.open === "$" && !isDollarFormula(src, start, end)) return false;
  if (!silent) {
    const token = state.push("formula", "math", 0);
    token.content = src.slice(start, end);
    token.markup = delimiter.open;
    token.block = delimiter.isDisplay;
  }
  state.pos = end + delimiter.close.length;
  return true;
}

/** Return the length of the formula at the start of a text, or null where it has no end. */
function lengthOfFormula(text: string, close: string): number | null {
  let at = text.indexOf(close);
  while (at > 0 && isEscaped(text, at)) at = text.indexOf(close, at + 1);
  return at > 0 && text.slice(0, at).trim() ? at : null;
}

/** Whether an odd number of backslashes stands before a place. */
function isEscaped(text: string, at: number): boolean {
  let first = at;
  while (text[first - 1] === "\\") first -= 1;
  return (at - first) % 2 === 1;
}

/** Tell a formula from money: "$5 and $10", "US$5", "$5-$10", "$10 or 5$" and "5$, 6$" are none. */
function isDollarFormula(src: string, start: number, end: number): boolean {
  const before = src[start - 2] ?? "";
  const after = src[end + 1] ?? "";
  const content = src.slice(start, end);
  if (/[\w$]/.test(before) || /[\d$]/.test(after) || content !== content.trim()) return false;
  return !content.includes("`") && !/^[\d.,]+\s+[a-z]{2}/i.test(content);
}

/**
 * Keep the lines of a formula together, some of which look like list items or headings.
 *
 * They become one paragraph, in which `formulaRule` finds the formula. Without its end, that is up
 * to a blank line: so what comes later never changes where a paragraph before it ended.
 */
function formulaBlockRule(
  state: StateBlock,
  startLine: number,
  endLine: number,
  silent: boolean,
): boolean {
  if ((state.sCount[startLine] ?? 0) - state.blkIndent >= 4) return false;
  const first = lineOf(state, startLine);
  const delimiter = DELIMITERS.find(({ open, isDisplay }) => isDisplay && first.startsWith(open));
  if (!delimiter || first.includes(delimiter.close, delimiter.open.length)) return false;
  if (silent) return !endsFormula(state, startLine, delimiter.close);
  let nextLine = startLine + 1;
  while (nextLine < endLine && isWithin(state, nextLine)) {
    nextLine += 1;
    if (lineOf(state, nextLine - 1).includes(delimiter.close)) break;
  }
  state.line = nextLine;
  const open = state.push("paragraph_open", "p", 1);
  open.map = [startLine, nextLine];
  const inline = state.push("inline", "", 0);
  inline.content = state.getLines(startLine, nextLine, state.blkIndent, false).trim();
  inline.map = [startLine, nextLine];
  inline.children = [];
  state.push("paragraph_close", "p", -1);
  return true;
}

/** Whether a line that might interrupt a paragraph ends a formula that began in there. */
function endsFormula(state: StateBlock, line: number, close: string): boolean {
  const paragraph = state.getLines(state.line, line, state.blkIndent, false);
  return close === "$$" && paragraph.split(close).length % 2 === 0;
}

/** A line without its indentation. */
function lineOf(state: StateBlock, line: number): string {
  return state.src.slice(
    (state.bMarks[line] ?? 0) + (state.tShift[line] ?? 0),
    state.eMarks[line] ?? 0,
  );
}

/** Whether a line is not blank and belongs to the same list item or quote. */
function isWithin(state: StateBlock, line: number): boolean {
  return !state.isEmpty(line) && (state.sCount[line] ?? 0) >= state.blkIndent;
}

/** A formula as MathML, or as code where it is none. */
function formulaHtml(
  source: string,
  isDisplay: boolean,
  escapeHtml: (text: string) => string,
): string {
  const key = `${isDisplay} ${source}`;
  const cached = remembered.get(key);
  if (cached !== undefined) return cached;
  const code = () => `<code>${escapeHtml(withVisibleControls(source.trim()))}</code>`;
  const html = mathMl(source, isDisplay) ?? code();
  if (remembered.size === MOST_REMEMBERED) remembered.clear();
  remembered.set(key, html);
  return html;
}

/** Return a formula as MathML, or null where Temml cannot read it. */
function mathMl(source: string, isDisplay: boolean): string | null {
  try {
    const html = temml.renderToString(source, {
      displayMode: isDisplay,
      throwOnError: true,
      trust: false, // no links, no images, no HTML attributes
      maxExpand: 200,
      maxSize: [10, 100],
      macros: {}, // what a formula defines is gone with it
    });
    // A formula may write any character by its number, and Temml writes two of them itself.
    const written = source + html.replace(/\u2061|\uFE00/g, "");
    if (withVisibleControls(written) !== written) return null;
    return isDisplay ? `<span>${withoutStyles(html)}</span>` : withoutStyles(html);
  } catch {
    // Not only its own errors: deep nesting ends in a RangeError.
    return null;
  }
}

/** Attributes in the place of classes and styles, none of which come through `sanitized`. */
function withoutStyles(html: string): string {
  return html
    .replace(/ class="tml-(left|right)"/g, ' columnalign="$1"')
    .replace(/ style="(?:[^"]*;)?color:(#\w+);[^"]*"/g, ' mathcolor="$1"')
    .replace(/ style="[^"]*border:1px solid;"/g, ' notation="box"');
}
