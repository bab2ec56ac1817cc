/** What would change in a cell, line by line. */

import { withVisibleControls } from "../dom/characters.js";
import { type DiffLine, diffLines } from "../dom/diff.js";
import { make } from "../dom/elements.js";
import { makeScrollable } from "../dom/scrolling.js";
import { trans } from "../dom/words.js";

/** How many unchanged lines are shown around a change. */
const CONTEXT = 3;

const LOOKS: Record<DiffLine["kind"], { tag: "ins" | "del" | "span"; sign: string }> = {
  same: { tag: "span", sign: " " },
  removed: { tag: "del", sign: "-" },
  added: { tag: "ins", sign: "+" },
};

/** What would change, with signs besides colours; long unchanged stretches are left out. */
export function diffView(before: string, after: string): HTMLElement {
  const all = diffLines(before, after);
  const numAdded = all.filter(({ kind }) => kind === "added").length;
  const numRemoved = all.filter(({ kind }) => kind === "removed").length;
  const view = make("div", "jllm-diff");
  makeScrollable(
    view,
    trans._n("%1 line added, %2 removed", "%1 lines added, %2 removed", numAdded, numRemoved),
  );
  const isChanged = all.map(({ kind }) => kind !== "same");
  let numLeftOut = 0;
  all.forEach((line, index) => {
    numLeftOut += 1;
    if (!isChanged.slice(Math.max(0, index - CONTEXT), index + CONTEXT + 1).includes(true)) return;
    if (numLeftOut > 1) view.append(leftOut(numLeftOut - 1));
    numLeftOut = 0;
    view.append(lineView(line));
  });
  if (numLeftOut) view.append(leftOut(numLeftOut));
  return view;
}

function lineView({ kind, text, changed }: DiffLine): HTMLElement {
  const { tag, sign } = LOOKS[kind];
  const view = make(tag, `jllm-diff-line jllm-diff-${kind}`, make("span", "jllm-diff-sign", sign));
  let shown = 0;
  for (const [start, end] of changed) {
    const words = make("span", "jllm-diff-words", text.slice(start, end));
    view.append(withVisibleControls(text.slice(shown, start)), words);
    shown = end;
  }
  view.append(withVisibleControls(text.slice(shown)));
  return view;
}

function leftOut(numLines: number): HTMLElement {
  const text = trans._n("%1 unchanged line", "%1 unchanged lines", numLines);
  return make("span", "jllm-diff-line jllm-diff-left-out", text);
}
