/** What would change in a cell, line by line. */

import { withVisibleControls } from "../dom/characters.js";
import { type DiffLine, diffLines } from "../dom/line_diff.js";
import { makeScrollable } from "../dom/scrolling.js";

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
  const view = document.createElement("div");
  view.className = "jllm-diff";
  makeScrollable(view, `${numAdded} lines added, ${numRemoved} removed`);
  const isNear = nearChanges(all);
  let numLeftOut = 0;
  all.forEach((line, index) => {
    if (isNear[index]) {
      if (numLeftOut) view.append(leftOut(numLeftOut));
      numLeftOut = 0;
      view.append(lineView(line));
    } else numLeftOut += 1;
  });
  if (numLeftOut) view.append(leftOut(numLeftOut));
  return view;
}

/** For each line, whether it is changed or stands near one that is. */
function nearChanges(all: DiffLine[]): boolean[] {
  const isNear = all.map(() => false);
  all.forEach(({ kind }, index) => {
    if (kind !== "same") isNear.fill(true, Math.max(0, index - CONTEXT), index + CONTEXT + 1);
  });
  return isNear;
}

function lineView({ kind, text }: DiffLine): HTMLElement {
  const { tag, sign } = LOOKS[kind];
  const view = document.createElement(tag);
  view.className = `jllm-diff-line jllm-diff-${kind}`;
  const signView = document.createElement("span");
  signView.className = "jllm-diff-sign";
  signView.textContent = sign;
  view.append(signView, withVisibleControls(text));
  return view;
}

function leftOut(numLines: number): HTMLElement {
  const view = document.createElement("span");
  view.className = "jllm-diff-line jllm-diff-left-out";
  view.textContent = `${numLines} unchanged ${numLines === 1 ? "line" : "lines"}`;
  return view;
}
