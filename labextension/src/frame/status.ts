/** Which model answers, how full its context window is and of what, and how fast it was. */

import type { Status } from "../connection/messages.js";
import { make, makeButton, setText } from "../dom/elements.js";
import { openBeside } from "../dom/places.js";
import { inWords, trans } from "../dom/words.js";
import type { ModelStatus } from "../kernel/model_status.js";
import { createModelPicker } from "../models/model_picker.js";
import { rounded } from "../talk/facts.js";

/** The parts of the window in the order in which they stand in a prompt. */
const PARTS = ["system", "cells", "turns", "variables"] as const;

type Part = (typeof PARTS)[number] | "other" | "free";

export class StatusView {
  readonly #bar = make("span", { className: "jllm-gauge", ariaHidden: "true" });
  readonly #share = make("span", "jllm-gauge-share");
  readonly #gauge = makeButton("", () => {}, { className: "jllm-gauge-button" });
  readonly #legend = make("div", { className: "jllm-legend", role: "dialog", tabIndex: -1 });
  readonly #remark = make("p", "jllm-model-remark");
  readonly element: HTMLElement;
  readonly dispose: () => void;

  constructor(models: ModelStatus, unknown: () => string) {
    const picker = createModelPicker(models, unknown);
    this.dispose = picker.dispose;
    this.#gauge.append(this.#bar, this.#share);
    openBeside(this.#gauge, this.#legend, (isOpen) => isOpen && this.#legend.focus());
    const line = make("div", "jllm-status-line", picker.element, this.#gauge, this.#legend);
    this.element = make("div", "jllm-status", line, this.#remark);
  }

  show(status: Status): void {
    this.#remark.hidden = !status.remark;
    setText(this.#remark, status.remark);
    const { used, allowed, parts, tokens_per_s: speed, cached_share: cached } = status;
    this.#gauge.hidden = used === undefined || !allowed || !parts;
    if (used === undefined || !allowed || !parts) return;
    const share = percent(used / allowed);
    setText(this.#share, share);
    const told = [inWords(used), inWords(allowed), share];
    const text = trans.__("Context: %1 of %2 tokens, %3", ...told);
    Object.assign(this.#gauge, { ariaLabel: text, title: text });
    this.#legend.ariaLabel = text;
    const known = PARTS.map((name) => [name, parts[name]] as const);
    const sum = known.reduce((total, [, tokens]) => total + tokens, 0);
    const filled = [...known, ["other", Math.max(0, used - sum)] as const];
    this.#bar.replaceChildren(...filled.map(([name, tokens]) => segment(name, tokens / allowed)));
    const free = ["free", Math.max(0, allowed - used)] as const;
    const entries = [...filled, free].map(([name, tokens]) => entry(name, tokens));
    const rest = [];
    if (speed !== undefined) rest.push(trans.__("%1 tokens/s", rounded(speed)));
    if (cached !== undefined) {
      rest.push(trans.__("%1 cached: read with an earlier prompt", percent(cached)));
    }
    this.#legend.replaceChildren(
      make("p", "jllm-legend-title", text),
      make("dl", "jllm-legend-list", ...entries),
      ...rest.map((one) => make("p", "", one)),
    );
  }
}

function percent(share: number): string {
  return inWords(share, { style: "percent" });
}

function nameOf(part: Part): string {
  const names: Record<Part, string> = {
    system: trans.__("System prompt"),
    cells: trans.__("Cells"),
    turns: trans.__("Turns"),
    variables: trans.__("Variables"),
    other: trans.__("Chat template"),
    free: trans.__("Free"),
  };
  return names[part];
}

function segment(name: Part, share: number): HTMLElement {
  const part = make("span", `jllm-part jllm-part-${name}`);
  part.style.inlineSize = `${100 * Math.min(1, share)}%`;
  return part;
}

function entry(name: Part, tokens: number): HTMLElement {
  const key = make("span", { className: `jllm-part jllm-part-${name}`, ariaHidden: "true" });
  const value = make("dd", "", inWords(tokens));
  return make("div", "jllm-legend-entry", make("dt", "", key, nameOf(name)), value);
}
