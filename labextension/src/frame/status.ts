/** Which model answers, how full its context window is and of what, and how fast it was. */

import type { Status } from "../connection/messages.js";
import { make, makeButton, setText } from "../dom/elements.js";
import { randomId } from "../dom/random_id.js";
import { inWords, trans } from "../dom/words.js";
import type { ModelStatus } from "../kernel/model_status.js";
import { createModelPicker } from "../models/model_picker.js";
import { rounded } from "../talk/facts.js";

/** The parts of the window in the order in which they stand in a prompt. */
const PARTS = ["system", "cells", "turns", "variables"] as const;

type Part = (typeof PARTS)[number] | "other" | "free";

export class StatusView {
  readonly #bar = make("span", "jllm-gauge");
  readonly #share = make("span", "jllm-gauge-share");
  readonly #gauge = makeButton("", () => this.#unfold(this.#legend.hidden));
  readonly #speed = make("span", "jllm-speed");
  readonly #cached = make("span", "jllm-cached");
  readonly #line = make("div", "jllm-status-line");
  readonly #remark = make("p", "jllm-model-remark");
  readonly #legend = make("div", "jllm-legend");
  readonly element = make("div", "jllm-status", this.#legend, this.#line, this.#remark);
  readonly dispose: () => void;

  constructor(models: ModelStatus, unknown: () => string) {
    const picker = createModelPicker(models, unknown);
    this.dispose = picker.dispose;
    this.#legend.id = `jllm-legend-${randomId()}`;
    this.#legend.hidden = true;
    this.#cached.title = trans.__(
      "How much of the last prompt the model still had read from before",
    );
    this.#bar.setAttribute("aria-hidden", "true");
    this.#gauge.classList.add("jllm-gauge-button");
    this.#gauge.setAttribute("aria-expanded", "false");
    this.#gauge.setAttribute("aria-controls", this.#legend.id);
    this.#gauge.append(this.#bar, this.#share);
    this.#line.append(picker.element, this.#gauge, this.#speed, this.#cached);
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.#legend.hidden) return;
      this.#unfold(false);
      this.#gauge.focus();
    });
  }

  show(status: Status): void {
    this.#remark.hidden = !status.remark;
    setText(this.#remark, status.remark);
    this.#showGauge(status);
    const { tokens_per_s: speed, cached_share: cached } = status;
    this.#speed.hidden = speed === undefined;
    if (speed !== undefined) setText(this.#speed, trans.__("%1 tokens/s", rounded(speed)));
    this.#cached.hidden = cached === undefined;
    if (cached !== undefined) setText(this.#cached, trans.__("%1 cached", percent(cached)));
  }

  #showGauge({ used, allowed, parts }: Status): void {
    this.#gauge.hidden = used === undefined || !allowed || !parts;
    if (used === undefined || !allowed || !parts) return;
    const share = percent(used / allowed);
    setText(this.#share, share);
    const told = [inWords(used), inWords(allowed), share];
    const text = trans.__("Context: %1 of %2 tokens, %3", ...told);
    this.#gauge.setAttribute("aria-label", text);
    this.#gauge.title = text;
    const known = PARTS.map((name) => [name, parts[name]] as const);
    const sum = known.reduce((total, [, tokens]) => total + tokens, 0);
    const filled = [...known, ["other", Math.max(0, used - sum)] as const];
    this.#bar.replaceChildren(...filled.map(([name, tokens]) => segment(name, tokens / allowed)));
    const free = ["free", Math.max(0, allowed - used)] as const;
    this.#legend.replaceChildren(
      make("p", "jllm-legend-title", text),
      make(
        "dl",
        "jllm-legend-list",
        ...[...filled, free].map(([name, tokens]) => entry(name, tokens)),
      ),
    );
  }

  #unfold(isOpen: boolean): void {
    this.#legend.hidden = !isOpen;
    this.#gauge.setAttribute("aria-expanded", String(isOpen));
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
  const key = make("span", `jllm-part jllm-part-${name}`);
  key.setAttribute("aria-hidden", "true");
  const value = make("dd", "", inWords(tokens));
  return make("div", "jllm-legend-entry", make("dt", "", key, nameOf(name)), value);
}
