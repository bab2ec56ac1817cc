/** The popup of a model's name: its state and memory, and other models to load or to pull. */

import type { ModelRole } from "../connection/messages.js";
import { factEntries, make, makeButton } from "../dom/elements.js";
import { listed, trans } from "../dom/words.js";
import type { ModelStatus } from "../kernel/model_status.js";
import { ModelListView } from "./model_list.js";
import { PullView } from "./pull_view.js";
import { number, size, stateWords } from "./words.js";

export class ModelPopup {
  readonly #facts = make("dl", "");
  readonly #progress = make("progress", { ariaLabel: trans.__("Loading") });
  readonly #stop: HTMLButtonElement;
  readonly #role = roleField();
  readonly #error = make("p", { className: "jllm-model-error", role: "alert" });
  readonly #pull: PullView;
  readonly #here: ModelListView;
  readonly #suited: ModelListView;
  readonly node = make(
    "div",
    {
      ...{ className: "jllm-model-popup", role: "dialog", tabIndex: -1 },
      ariaLabel: trans.__("Language model in the kernel"),
    },
    ...[this.#facts, this.#progress],
  );
  readonly #model: ModelStatus;
  /** Ends what it shows. */
  readonly dispose: () => void;

  /** `openSettings` is not there where nothing shows settings. */
  constructor(model: ModelStatus, openSettings: (() => void) | null = null) {
    this.#model = model;
    this.#stop = makeButton(trans.__("Stop loading"), () => model.stop(), { isPlain: false });
    this.#role.onchange = () => this.#show();
    const use = (name: string) => this.#try(model.use(name, this.#role.value as ModelRole));
    const pull = (name: string, acceptsLicence = false) =>
      this.#try(model.pull(name, acceptsLicence).then(() => this.#pull.follow()));
    this.#here = new ModelListView("here", use);
    this.#suited = new ModelListView("suited", pull);
    this.#pull = new PullView(model, pull, use);
    this.node.append(this.#stop, this.#error, this.#pull.node);
    const role = make("label", "jllm-model-role", trans.__("Use for"), this.#role);
    this.node.append(role, this.#here.node, this.#suited.node, otherModel(pull, use));
    if (openSettings) {
      this.node.append(makeButton(trans.__("Settings…"), openSettings, { isPlain: false }));
    }
    this.dispose = model.onChange(() => this.#show());
    this.#show();
    this.#try(model.list());
    this.#error.textContent = model.problem; // nobody may have been there to see it
  }

  #show(): void {
    const { status } = this.#model;
    if (!status) return;
    const { kv_used: used, kv_room: room } = status;
    const kv = [number(used), number(room), number((100 * used) / room)] as const;
    const facts: [string, string][] = [
      [trans.__("Model"), status.model ?? trans.__("none loaded; the first prompt loads one")],
      [trans.__("State"), stateWords(status)],
      [trans.__("KV cache"), room ? trans.__("%1 of %2 tokens, %3 %", ...kv) : ""],
      [trans.__("Loaded beside it"), listed(status.beside)],
      [trans.__("Kernel's memory"), size(status.process_bytes)],
    ];
    this.#facts.replaceChildren(...factEntries(facts));
    this.#progress.hidden = status.state !== "loading";
    this.#progress.value = status.share ?? 0;
    this.#stop.hidden = !this.#model.canStop;
    this.#pull.show();
    const focused = this.node.contains(document.activeElement) ? document.activeElement : null;
    for (const list of [this.#here, this.#suited]) {
      list.show(this.#model.models, this.#role.value as ModelRole);
    }
    if (focused && !focused.checkVisibility()) this.#focusOn(focused);
  }

  /** The row that was left may be in another place, or nowhere. */
  #focusOn(left: Element): void {
    const rows = [...this.node.querySelectorAll<HTMLButtonElement>(".jllm-models button")];
    const row = rows.find(({ value }) => value === (left as HTMLButtonElement).value);
    row?.closest("details")?.setAttribute("open", "");
    (row ?? this.node).focus();
  }

  #try(work: Promise<void>): void {
    this.#error.textContent = "";
    work.catch((error: Error) => {
      this.#error.textContent = error.message;
    });
  }
}

/** A field for what a model is to be used for. */
function roleField(): HTMLSelectElement {
  const words: Record<ModelRole, string> = {
    chat: trans.__("chats"),
    task: trans.__("tasks"),
    complete: trans.__("code at the cursor"),
    embed: trans.__("vectors"),
  };
  const options = Object.entries(words).map(([role, word]) => new Option(word, role));
  return make("select", "jllm-field", ...options);
}

/** The path of a file, and no `owner/repo:file.gguf` or address of the hub's. */
const PATH = /^([a-z]:)?[^:]*\.gguf$/i;

type Take = (name: string) => void;

/** A field for the name of any other model of the hub, or for the path of a file. */
function otherModel(pull: Take, use: Take): HTMLElement {
  const placeholder = trans.__("owner/repo:quantization or the path of a GGUF file");
  const field = make("input", { className: "jllm-field", required: true, placeholder });
  const submit = make("button", "jllm-button", trans.__("Pull or load"));
  const label = make("label", "", trans.__("Another model of the hub, or a file"), field);
  const form = make("form", "jllm-other-model", label, submit);
  form.onsubmit = (event) => {
    event.preventDefault();
    const name = field.value.trim();
    if (PATH.test(name)) use(name);
    else pull(name);
  };
  return form;
}
