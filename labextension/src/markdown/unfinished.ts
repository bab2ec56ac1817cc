/** Makes half-written Markdown look like what it will most likely become.
 *
 * Without this, "text" and "-" on the next line is a heading for the moment until the list item
 * has its first word, and half a link is an address in brackets.
 */

// The beginning of a line that may still become a list item, a rule, a fence, a table's second row…
const ONLY_MARKS = /^[\s>]*(?:[-=*_+#|:~$\\\s]+|\d{1,9}[.)]?|\\[[(]|[`~]+[^`\s]*)\s*$/;
const FENCE = /^[\s>]*(?:(?:[-*+]|\d{1,9}[.)])\s+)*(?:`{3,}|~{3,})/;
const NEW_PARAGRAPH = /^[ \t]*(?:(?:[-*+>]|\d{1,9}[.)]|#{1,6})[ \t]|\||$)/;
const MARKS = /\\[([]|\\[\s\S]|`+|\$\$|\*\*|__|~~|!?\[|\]\(/g;
const ENDS_OF_FORMULAS: Record<string, string> = { "\\(": "\\)", "\\[": "\\]", $$: "$$" };

/** Emphasis that has been open for longer was probably none: `**kwargs` and the like. */
const LONGEST_EMPHASIS = 200;

/** A text without its last line while that is nothing but the beginning of some markup. */
export function withoutBareMarks(text: string): string {
  const start = text.lastIndexOf("\n") + 1;
  return ONLY_MARKS.test(text.slice(start, start + 200)) ? text.slice(0, start) : text;
}

/** A block with what is still open in its last paragraph closed. */
export function mended(source: string): string {
  const lines = source.split("\n");
  if (lines.filter((line) => FENCE.test(line)).length % 2 === 1) return source;
  let first = lines.length - 1;
  while (first > 0 && !NEW_PARAGRAPH.test(lines[first] ?? "")) first -= 1;
  const before = lines.slice(0, first).map((line) => `${line}\n`);
  return before.join("") + mendedParagraph(lines.slice(first).join("\n"));
}

function mendedParagraph(text: string): string {
  const open: { mark: string; end: number }[] = [];
  let label = { start: 0, end: 0 };
  MARKS.lastIndex = 0;
  for (let match = MARKS.exec(text); match; match = MARKS.exec(text)) {
    const mark = match[0];
    const end = match.index + mark.length;
    const close = mark.startsWith("`") ? mark : ENDS_OF_FORMULAS[mark];
    if (close) {
      const closeAt = text.indexOf(close, end);
      if (closeAt < 0) return closed(text.slice(0, match.index) + code(text.slice(end)), open);
      MARKS.lastIndex = closeAt + close.length;
    } else if (mark === "](") {
      const closeAt = text.indexOf(")", end);
      if (closeAt < 0) {
        return closed(text.slice(0, label.start) + text.slice(label.end, match.index), open);
      }
      MARKS.lastIndex = closeAt + 1;
    } else if (mark.endsWith("[")) {
      label = { start: match.index, end };
    } else if (!mark.startsWith("\\")) {
      toggle(open, mark, end, text);
    }
  }
  return closed(text, open);
}

/** Note that emphasis begins or ends at a mark. */
function toggle(
  open: { mark: string; end: number }[],
  mark: string,
  end: number,
  text: string,
): void {
  const at = open.findLastIndex((other) => other.mark === mark);
  if (at >= 0) open.splice(at);
  else if (!/\w/.test(text[end - mark.length - 1] ?? "") && /^(?!\s)/.test(text.slice(end))) {
    open.push({ mark, end });
  }
}

/** Half a piece of code or a formula as code. */
function code(inside: string): string {
  const runs = inside.match(/`+/g) ?? [];
  const mark = "`".repeat(1 + Math.max(0, ...runs.map((run) => run.length)));
  return inside.trim() ? `${mark} ${inside.trim()} ${mark}` : "";
}

/** A text with its open emphasis ended. */
function closed(text: string, open: { mark: string; end: number }[]): string {
  let result = text;
  for (const { mark, end } of open.reverse()) {
    if (text.length - end > LONGEST_EMPHASIS) continue;
    const content = result.slice(end).replace(/[\s*_~]+$/, "");
    result = content ? result.slice(0, end) + content + mark : result.slice(0, end - mark.length);
  }
  return result;
}
