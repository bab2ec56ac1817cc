/** The line about the model in the status bar. */

import { type Popup, showPopup } from "@jupyterlab/statusbar";
import type { TranslationBundle } from "@jupyterlab/translation";
import { type ISignal, Signal } from "@lumino/signaling";
import { Widget } from "@lumino/widgets";
import { ModelPopup } from "./model_popup.js";
import type { ModelStatus } from "./model_status.js";
import { line } from "./words.js";

/** What the line asks of the application. */
export interface StatusItemActions {
  load(): void;
  /** What is the matter, where that takes more than a line. */
  explain(): string;
  openSettings: (() => void) | null;
}

/** A button that says what the model does, and opens more; it announces nothing by itself. */
export class StatusItem extends Widget {
  readonly shownChanged: ISignal<this, void>;
  readonly #shownChanged: Signal<this, void>;
  readonly #model: ModelStatus;
  readonly #trans: TranslationBundle;
  readonly #actions: StatusItemActions;
  readonly #text = document.createElement("span");
  #popup: Popup | null = null;

  constructor(model: ModelStatus, trans: TranslationBundle, actions: StatusItemActions) {
    const node = document.createElement("button");
    super({ node });
    this.#shownChanged = new Signal(this);
    this.shownChanged = this.#shownChanged;
    this.#model = model;
    this.#trans = trans;
    this.#actions = actions;
    this.addClass("jllm-status-item");
    this.addClass("jp-mod-highlighted");
    node.type = "button";
    node.onclick = () => this.press();
    this.#text.className = "jp-StatusBar-TextItem";
    node.append(this.#text);
    model.changed.connect(this.#show, this);
    this.#show();
  }

  /** Whether there is something to say. */
  get hasText(): boolean {
    return this.#text.textContent !== "";
  }

  /** Do what a click does. */
  press(): void {
    if (this.#model.state === "absent") this.#actions.load();
    else if (this.#model.state === "open") this.#open();
  }

  dispose(): void {
    this.#model.changed.disconnect(this.#show, this);
    this.#popup?.dispose();
    super.dispose();
  }

  #show(): void {
    const { state, status, pulling } = this.#model;
    const hadText = this.hasText;
    this.#text.textContent = line(state, status, pulling, (said, ...v) =>
      this.#trans.__(said, ...v),
    );
    this.node.title = this.#actions.explain();
    if (state === "open") this.node.setAttribute("aria-haspopup", "dialog");
    else this.node.removeAttribute("aria-haspopup");
    if (state !== "open") this.#popup?.dispose();
    if (this.hasText !== hadText) this.#shownChanged.emit();
  }

  #open(): void {
    if (this.#popup) {
      this.#popup.dispose();
      return;
    }
    const { openSettings } = this.#actions;
    const leave =
      openSettings &&
      (() => {
        this.#popup?.dispose();
        openSettings();
      });
    const body = new ModelPopup(this.#model, this.#trans, leave);
    this.#popup = showPopup({ body, anchor: this, align: "left", hasDynamicSize: true });
    this.node.setAttribute("aria-expanded", "true");
    this.#popup.node.addEventListener("focusout", ({ relatedTarget }) => {
      const isInside = relatedTarget instanceof Node && body.node.contains(relatedTarget);
      if (relatedTarget && !isInside && relatedTarget !== this.node) this.#popup?.dispose();
    });
    this.#popup.disposed.connect(() => {
      this.#popup = null;
      this.node.removeAttribute("aria-expanded");
      if (body.node.contains(document.activeElement)) this.node.focus();
    });
    body.node.focus();
  }
}
