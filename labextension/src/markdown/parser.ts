/** The Markdown that answers are read as: CommonMark with tables, strikethrough and formulas.
 *
 * No HTML, no images, no link that is not to the web; a name without `https://` is no address,
 * since `main.py` would be one. No definitions of links either: so nothing that is still to come
 * changes what is already there.
 */

import type { MarkdownIt, Token } from "markdown-it";
import markdownIt from "markdown-it";
import { withVisibleControls } from "../dom/characters.js";
import { formulas } from "./math.js";

/** The addresses that a link may have: of the web, or of a mailbox. */
export const WEB_ADDRESS = /^(?:https?:\/\/|mailto:)/i;

/** Code between fences. It is closed once its last line is there to its end. */
export interface Fence {
  source: string;
  language: string;
  isClosed: boolean;
  isFenced: boolean;
}

/** Some of the HTML of a block, and the code that goes into its `pre`s, which are empty. */
export interface Part {
  html: string;
  fences: Fence[];
}

/** The environment of the rendering rules, which they fill. */
type Environment = { fences: Fence[]; numWholeLines: number };

const LONGEST_ADDRESS = 300;

/** Twice the depth to which quotes and lists may nest. Deeper ones are left out. */
const DEEPEST = 60;

const parser = makeParser();

/** The HTML of a block: of a list or table in parts, its items or rows between both ends. */
export function render(source: string): Part[] {
  const wholeLines = numWholeLines(source);
  const tokens = parser.parse(source, {});
  return partsOf(tokens).map((part) => {
    const environment: Environment = { fences: [], numWholeLines: wholeLines };
    const html = parser.renderer.render(part, parser.options, environment);
    return { html: html.trim(), fences: environment.fences };
  });
}

/** Cut a list or a table into its start, its items or rows, and its end. */
function partsOf(tokens: Token[]): Token[][] {
  const first = tokens[0]?.type ?? "";
  if (!/^(?:bullet_list|ordered_list|table)_open$/.test(first)) return [tokens];
  const isTable = first === "table_open";
  const body = isTable ? tokens.findIndex(({ type }) => type === "tbody_open") : 0;
  const level = isTable ? 2 : 1;
  const starts = tokens.flatMap((token, index) =>
    index > body && token.level === level && token.nesting === 1 ? [index] : [],
  );
  const end = tokens.length - level;
  if (body < 0 || starts.length === 0) return [tokens];
  const cuts = [0, ...starts, end, tokens.length];
  return cuts.slice(1).map((cut, index) => tokens.slice(cuts[index], cut));
}

/** The outermost blocks of a text: paragraphs, lists, fences, … */
export function outerBlocks(
  text: string,
): { firstLine: number; endLine: number; fence: Fence | null }[] {
  const tokens: Token[] = [];
  parser.block.parse(text, parser, {}, tokens);
  const wholeLines = numWholeLines(text);
  const blocks = [];
  for (const token of tokens) {
    if (token.level > 0 || token.nesting < 0 || !token.map) continue;
    const [firstLine, endLine] = token.map;
    const fence = token.type === "fence" ? fenceOf(token, wholeLines) : null;
    blocks.push({ firstLine, endLine, fence });
  }
  return blocks;
}

function makeParser(): MarkdownIt {
  const made = markdownIt({ html: false, linkify: true, maxNesting: DEEPEST });
  made.disable("reference");
  made.validateLink = (address) => WEB_ADDRESS.test(address);
  made.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
  made.linkify.add("ftp:", null).add("//", null);
  made.use(formulas);
  const { escapeHtml } = made.utils;
  const { rules } = made.renderer;
  rules.text = (tokens, index) => escapeHtml(withVisibleControls(contentOf(tokens, index)));
  rules.code_inline = (tokens, index) =>
    `<code>${escapeHtml(withVisibleControls(contentOf(tokens, index)))}</code>`;
  rules.fence = rules.code_block = (tokens, index, _options, environment) =>
    keepCode(tokens[index], environment as Environment);
  rules.image = (tokens, index) => escapeHtml(imageAsText(tokens[index]));
  rules.th_open = rules.td_open = (tokens, index) => cellHtml(tokens[index]);
  return made;
}

function contentOf(tokens: Token[], index: number): string {
  return tokens[index]?.content ?? "";
}

/** Put code aside, and an empty element where it belongs. */
function keepCode(token: Token | undefined, environment: Environment): string {
  if (token) environment.fences.push(fenceOf(token, environment.numWholeLines));
  return "<pre></pre>\n";
}

function fenceOf(token: Token, wholeLines: number): Fence {
  const [firstLine, endLine] = token.map ?? [0, 0];
  const source = token.content.replace(/\n$/, "");
  const numLines = token.content === "" ? 0 : source.split("\n").length;
  return {
    source,
    language: (/^\s*([^\s{},]+)/.exec(token.info)?.[1] ?? "").toLowerCase(),
    // Its lines, and two for the fences; the last is whole once another line has begun.
    isClosed: endLine - firstLine === numLines + 2 && endLine <= wholeLines,
    isFenced: token.type === "fence",
  };
}

/** An image as text: nothing is loaded that nobody asked for. */
function imageAsText(token: Token | undefined): string {
  const alt = withVisibleControls(token?.content.trim() ?? "");
  const address = shortened(String(token?.attrGet("src") ?? ""));
  return alt ? `[image: ${alt} – ${address}]` : `[image: ${address}]`;
}

/** The beginning of a long address: the machine it leads to stands there. */
export function shortened(address: string): string {
  return address.length > LONGEST_ADDRESS ? `${address.slice(0, LONGEST_ADDRESS)}…` : address;
}

/** The start of a table cell. Its alignment is a style elsewhere, and here there are none. */
function cellHtml(token: Token | undefined): string {
  const align = /^text-align:(left|center|right)$/.exec(String(token?.attrGet("style") ?? ""))?.[1];
  return align ? `<${token?.tag} align="${align}">` : `<${token?.tag}>`;
}

/** Count the lines of a text that have a line end. */
function numWholeLines(text: string): number {
  return text.split("\n").length - 1;
}
