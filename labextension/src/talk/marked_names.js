/** Names in code that do not exist, underlined without a change to the elements of the code. */

const HIGHLIGHT = "jllm-unknown-name";

/** @type {WeakMap<Element, StaticRange[]>} */
const rangesOf = new WeakMap();

/**
 * Underline names wherever they stand in a piece of code, and nothing else in it.
 *
 * The words below the code say the same, for browsers that cannot do this.
 *
 * @param {Element} code
 * @param {readonly string[]} names
 */
export function markNames(code, names) {
  unmark(code);
  const highlight = highlightOfPage();
  if (!highlight || names.length === 0) return;
  const ranges = [...rangesIn(code, names)];
  for (const range of ranges) highlight.add(range);
  rangesOf.set(code, ranges);
}

/**
 * @param {Element} code
 */
export function unmark(code) {
  for (const range of rangesOf.get(code) ?? []) highlightOfPage()?.delete(range);
  rangesOf.delete(code);
}

/**
 * @returns {Highlight | null}
 */
function highlightOfPage() {
  if (!("highlights" in CSS)) return null;
  const found = CSS.highlights.get(HIGHLIGHT);
  if (found) return found;
  const highlight = new Highlight();
  CSS.highlights.set(HIGHLIGHT, highlight);
  return highlight;
}

/**
 * @param {Element} code
 * @param {readonly string[]} names
 * @returns {Generator<StaticRange>}
 */
function* rangesIn(code, names) {
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
