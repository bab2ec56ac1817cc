/** Names in code that do not exist, underlined without a change to the elements of the code. */

const HIGHLIGHT = "jllm-unknown-name";

const rangesOf = new WeakMap<Element, StaticRange[]>();

/**
 * Underline names wherever they stand in a piece of code, and nothing else in it.
 *
 * The words below the code say the same, for browsers that cannot do this.
 */
export function markNames(code: Element, names: readonly string[]): void {
  unmark(code);
  const highlight = highlightOfPage();
  if (!highlight || names.length === 0) return;
  const ranges = [...rangesIn(code, names)];
  for (const range of ranges) highlight.add(range);
  rangesOf.set(code, ranges);
}

export function unmark(code: Element): void {
  for (const range of rangesOf.get(code) ?? []) highlightOfPage()?.delete(range);
  rangesOf.delete(code);
}

function highlightOfPage(): Highlight | null {
  if (!("highlights" in CSS)) return null;
  const found = CSS.highlights.get(HIGHLIGHT);
  if (found) return found;
  const highlight = new Highlight();
  CSS.highlights.set(HIGHLIGHT, highlight);
  return highlight;
}

function* rangesIn(code: Element, names: readonly string[]): Generator<StaticRange> {
  const words = names.map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
  const pattern = new RegExp(`(?<![\\w.])(?:${words})(?!\\w)`, "gu");
  const walker = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.parentElement?.closest(".hljs-string, .hljs-comment")) continue;
    for (const { index, 0: word } of (node.textContent ?? "").matchAll(pattern)) {
      const [startContainer, endContainer] = [node, node];
      const endOffset = index + word.length;
      yield new StaticRange({ startContainer, startOffset: index, endContainer, endOffset });
    }
  }
}
