/** What opens above the status bar: what the model does and holds, and others to choose from. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { checkIcon } from "@jupyterlab/ui-components";
import { Widget } from "@lumino/widgets";
import type { Model, ModelStatus } from "./model_status.js";
import { fill, size, stateWords } from "./words.js";

export class ModelPopup extends Widget {
  readonly #model: ModelStatus;
  readonly #trans: TranslationBundle;
  readonly #facts = document.createElement("dl");
  readonly #progress = document.createElement("progress");
  readonly #stop: HTMLButtonElement;
  readonly #error = document.createElement("p");
  readonly #title = document.createElement("h2");
  readonly #list = document.createElement("div");
  #listed: readonly Model[] | null = null;

  /** `openSettings` is not there where nothing shows settings. */
  constructor(model: ModelStatus, trans: TranslationBundle, openSettings: (() => void) | null) {
    super();
    this.#model = model;
    this.#trans = trans;
    this.addClass("jllm-model-popup");
    this.node.setAttribute("role", "dialog");
    this.node.setAttribute("aria-label", trans.__("Language model in the kernel"));
    this.node.tabIndex = -1;
    this.#stop = button(trans.__("Stop loading"), () => model.stop());
    this.#progress.setAttribute("aria-label", trans.__("Loading"));
    this.#error.setAttribute("role", "alert");
    this.#error.className = "jllm-model-error";
    this.#title.id = "jllm-model-list";
    this.#title.textContent = trans.__("Models");
    this.#list.setAttribute("role", "group");
    this.#list.setAttribute("aria-labelledby", this.#title.id);
    this.node.append(this.#facts, this.#progress, this.#stop, this.#error);
    this.node.append(this.#title, this.#list);
    if (openSettings) this.node.append(button(trans.__("Settings…"), openSettings));
    model.changed.connect(this.#show, this);
    this.#show();
    model.list().catch((error: unknown) => this.#say(error));
  }

  dispose(): void {
    this.#model.changed.disconnect(this.#show, this);
    super.dispose();
  }

  #show(): void {
    const { status } = this.#model;
    if (!status) return;
    const trans = this.#trans;
    const facts = [
      [trans.__("Model"), status.model ?? trans.__("none")],
      [
        trans.__("State"),
        stateWords(status.state, status.share, (said, ...v) => trans.__(said, ...v)),
      ],
      [trans.__("KV cache"), this.#room()],
      [trans.__("Kernel's memory"), size(status.process_bytes)],
    ];
    this.#facts.replaceChildren(
      ...facts.flatMap(([name, value]) => (value ? [entry("dt", name), entry("dd", value)] : [])),
    );
    this.#progress.hidden = status.state !== "loading";
    this.#progress.value = status.share ?? 0;
    this.#stop.hidden = !this.#model.canStop;
    this.#showModels();
  }

  #room(): string {
    const { status } = this.#model;
    if (!status?.kv_room) return "";
    const [used, room] = [status.kv_used, status.kv_room].map((n) => n.toLocaleString());
    return this.#trans.__("%1 of %2 tokens, %3 %", used, room, fill(status));
  }

  #showModels(): void {
    const { models } = this.#model;
    if (models === this.#listed) return;
    this.#listed = models;
    const at = [...this.#list.children].indexOf(document.activeElement as Element);
    this.#list.replaceChildren(...models.map((model) => this.#choice(model)));
    this.#title.hidden = this.#list.hidden = models.length === 0;
    (this.#list.children[at] as HTMLElement | undefined)?.focus();
  }

  #choice({ name, size_bytes, is_loaded, about }: Model): HTMLElement {
    const choice = button("", () => {
      this.#error.textContent = "";
      if (!is_loaded) this.#model.use(name).catch((error: unknown) => this.#say(error));
    });
    choice.className = "jllm-model-choice";
    choice.setAttribute("aria-pressed", String(is_loaded));
    const mark = document.createElement("span");
    if (is_loaded) checkIcon.element({ container: mark, elementSize: "normal" });
    choice.append(mark, entry("span", name), entry("span", size(size_bytes)));
    choice.append(entry("small", about));
    return choice;
  }

  #say(error: unknown): void {
    this.#error.textContent = error instanceof Error ? error.message : String(error);
  }
}

function entry(tag: string, text: string | undefined): HTMLElement {
  const element = document.createElement(tag);
  element.textContent = text ?? "";
  return element;
}

function button(text: string, onClick: () => void): HTMLButtonElement {
  const element = document.createElement("button");
  element.type = "button";
  element.className = "jp-mod-styled jllm-model-button";
  element.textContent = text;
  element.onclick = onClick;
  return element;
}
