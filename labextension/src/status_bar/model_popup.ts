/** What opens above the status bar: what the model does and holds, and others to load or to pull. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { Widget } from "@lumino/widgets";
import type { Model } from "../connection/messages.js";
import { button, entry } from "./elements.js";
import { ModelListView } from "./model_list.js";
import type { ModelStatus } from "./model_status.js";
import { PullView } from "./pull_view.js";
import { fill, size, stateWords } from "./words.js";

const NONE: Model[] = [];

export class ModelPopup extends Widget {
  readonly #model: ModelStatus;
  readonly #trans: TranslationBundle;
  readonly #facts = document.createElement("dl");
  readonly #progress = document.createElement("progress");
  readonly #stop: HTMLButtonElement;
  readonly #error = document.createElement("p");
  readonly #pull: PullView;
  readonly #here: ModelListView;
  readonly #suited: ModelListView;

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
    const use = (name: string) => this.#try(model.use(name));
    const pull = (name: string, acceptsLicence = false) =>
      this.#try(model.pull(name, acceptsLicence).then(() => this.#pull.follow()));
    const words = {
      loaded: trans.__("Loaded"),
      more: (count: number) => trans.__("%1 more", String(count)),
    };
    const here = { ...words, title: trans.__("On this machine"), verb: trans.__("Load") };
    const suited = { ...words, title: trans.__("To download, best first"), verb: trans.__("Pull") };
    this.#here = new ModelListView(here, use);
    this.#suited = new ModelListView(suited, (name) => pull(name));
    this.#pull = new PullView(trans, {
      pull,
      end: () => model.endPull(),
      use: (name) => {
        model.endPull();
        use(name);
      },
    });
    this.node.append(this.#facts, this.#progress, this.#stop, this.#error, this.#pull.node);
    this.node.append(this.#here.node, this.#suited.node, otherModel(trans, pull));
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
      [trans.__("Model"), status.model ?? trans.__("none loaded; the first prompt loads one")],
      [
        trans.__("State"),
        stateWords(status.state, status.share, (said, ...v) => trans.__(said, ...v)),
      ],
      [trans.__("KV cache"), this.#room()],
      [trans.__("Loaded beside it"), status.beside.join("; ")],
      [trans.__("Kernel's memory"), size(status.process_bytes)],
    ];
    this.#facts.replaceChildren(
      ...facts.flatMap(([name, value]) => (value ? [entry("dt", name), entry("dd", value)] : [])),
    );
    this.#progress.hidden = status.state !== "loading";
    this.#progress.value = status.share ?? 0;
    this.#stop.hidden = !this.#model.canStop;
    this.#pull.show(this.#model.pulling);
    const focused = this.node.contains(document.activeElement) ? document.activeElement : null;
    this.#here.show(this.#model.models?.here ?? NONE);
    this.#suited.show(this.#model.models?.suited ?? NONE);
    if (focused && !focused.checkVisibility()) this.#focusOn(focused);
  }

  /** The row that was left may be in another place, or nowhere. */
  #focusOn(left: Element): void {
    const rows = [...this.node.querySelectorAll<HTMLButtonElement>(".jllm-models button")];
    const row = rows.find(({ value }) => value === (left as HTMLButtonElement).value);
    row?.closest("details")?.setAttribute("open", "");
    (row ?? this.node).focus();
  }

  #room(): string {
    const { status } = this.#model;
    if (!status?.kv_room) return "";
    const [used, room] = [status.kv_used, status.kv_room].map((n) => n.toLocaleString());
    return this.#trans.__("%1 of %2 tokens, %3 %", used, room, fill(status));
  }

  #try(work: Promise<void>): void {
    this.#error.textContent = "";
    work.catch((error: unknown) => this.#say(error));
  }

  #say(error: unknown): void {
    this.#error.textContent = error instanceof Error ? error.message : String(error);
  }
}

/** A field for the name of any other model. */
function otherModel(trans: TranslationBundle, pull: (name: string) => void): HTMLElement {
  const form = document.createElement("form");
  const label = entry("label", trans.__("Another one of the Hugging Face hub"));
  const field = document.createElement("input");
  field.className = "jp-mod-styled";
  field.required = true;
  field.placeholder = "owner/repo:quantization";
  const submit = button(trans.__("Pull"), () => {});
  submit.type = "submit";
  form.className = "jllm-other-model";
  label.append(field);
  form.append(label, submit);
  form.onsubmit = (event) => {
    event.preventDefault();
    pull(field.value);
  };
  return form;
}
