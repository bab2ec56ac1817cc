/** The progress and result of the pull of a model, with buttons. */

import type { Pull } from "../connection/messages.js";
import { make, makeButton } from "../dom/elements.js";
import { trans } from "../dom/words.js";
import type { ModelStatus } from "../kernel/model_status.js";

/** It is there as long as there is something to tell. Only the end of a pull is read out. */
export class PullView {
  readonly #text = make("p", "");
  readonly #end = make("p", { role: "status" });
  readonly #progress = make("progress", { ariaLabel: trans.__("Pulling") });
  readonly #licence = make("pre", { tabIndex: 0, role: "region", ariaLabel: trans.__("Licence") });
  readonly #buttons = make("div", "jllm-pull-buttons");
  readonly node = make(
    "section",
    { className: "jllm-pull", tabIndex: -1, ariaLabel: trans.__("Pull of a model") },
    ...[this.#text, this.#end, this.#progress, this.#licence, this.#buttons],
  );
  readonly #model: ModelStatus;
  readonly #again: (name: string, acceptsLicence: boolean) => void;
  readonly #use: (name: string) => void;
  #shown = "";
  #isAwaited = false;

  constructor(
    model: ModelStatus,
    pull: (name: string, acceptsLicence: boolean) => void,
    use: (name: string) => void,
  ) {
    this.#model = model;
    this.#again = pull;
    this.#use = use;
  }

  /** Take the focus, once there is something to tell: somebody has asked for it here. */
  follow(): void {
    this.#isAwaited = this.#model.pulling === null;
    if (!this.#isAwaited) this.#focus();
  }

  show(): void {
    const pull = this.#model.pulling;
    const isRunning = pull?.state === "running";
    this.node.classList.toggle("jllm-empty", !pull); // not hidden: a live region has to be there
    this.#text.textContent = isRunning ? pull.text : "";
    this.#progress.hidden = !isRunning;
    this.#progress.value = pull?.share ?? 0;
    const key = JSON.stringify([pull?.name, pull?.state, isRunning || [pull?.text, pull?.licence]]);
    if (key === this.#shown) return;
    this.#shown = key;
    const takesFocus = this.#isAwaited || this.#buttons.contains(document.activeElement);
    this.#isAwaited = false;
    this.#end.textContent = pull && !isRunning ? pull.text : "";
    this.#end.classList.toggle("jllm-model-error", pull?.state === "failed");
    this.#licence.hidden = !pull?.licence;
    this.#licence.textContent = pull?.licence ?? "";
    this.#buttons.replaceChildren(...(pull ? this.#choices(pull) : []));
    if (takesFocus) this.#focus();
  }

  /** Go to what may be done; a licence is to be read before it is accepted. */
  #focus(): void {
    const button = this.#buttons.querySelector("button") ?? this.node;
    (this.#model.pulling?.licence ? this.#licence : button).focus();
  }

  #choices({ name, state, model }: Pull): HTMLElement[] {
    const button = (label: string, onClick: () => void) =>
      makeButton(label, onClick, { isPlain: false });
    const end = () => this.#model.endPull();
    if (state === "running") {
      const stop = button(trans.__("Stop"), () => {
        stop.disabled = true;
        this.#end.textContent = trans.__("Stopping…");
        end();
      });
      return [stop];
    }
    const close = button(trans.__("Close"), end);
    if (state === "done") {
      const pulled = model ?? name;
      const use = () => {
        end();
        this.#use(pulled);
      };
      return [button(trans.__("Use %1", pulled), use), close];
    }
    const acceptsLicence = state === "licence";
    const words = acceptsLicence ? trans.__("Accept the licence and pull") : trans.__("Pull again");
    return [button(words, () => this.#again(name, acceptsLicence)), close];
  }
}
