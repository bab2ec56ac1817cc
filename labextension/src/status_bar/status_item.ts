/** The line about the model in the status bar. */

import { type Popup, showPopup } from "@jupyterlab/statusbar";
import { type ISignal, Signal } from "@lumino/signaling";
import { Widget } from "@lumino/widgets";
import type { Connection } from "../connection/connection.js";
import type { Message } from "../connection/messages.js";
import { make } from "../dom/elements.js";
import { ModelStatus } from "../kernel/model_status.js";
import { ModelPopup } from "../models/model_popup.js";
import { line } from "../models/words.js";

/** What the line asks of the application. */
export interface StatusItemActions {
  load(): void;
  /** What is the matter, where that takes more than a line. */
  explain(connection: Connection | null): string;
  openSettings: (() => void) | null;
}

/**
 * A button that says what the model of the notebook in front does, and opens more; it announces
 * nothing by itself. The kernels of the others are asked nothing.
 */
export class StatusItem extends Widget {
  readonly shownChanged: ISignal<this, void>;
  readonly #shownChanged: Signal<this, void>;
  readonly #model = new ModelStatus();
  readonly #actions: StatusItemActions;
  readonly #text = make("span", "jp-StatusBar-TextItem");
  #connection: Connection | null = null;
  #popup: Popup | null = null;

  constructor(actions: StatusItemActions) {
    const node = document.createElement("button");
    super({ node });
    this.#shownChanged = new Signal(this);
    this.shownChanged = this.#shownChanged;
    this.#actions = actions;
    this.addClass("jllm-status-item");
    this.addClass("jp-mod-highlighted");
    node.type = "button";
    node.onclick = () => this.press();
    node.append(this.#text);
    this.#model.onChange(() => this.#show());
    this.#show();
  }

  get connection(): Connection | null {
    return this.#connection;
  }

  /** Go over to another notebook's kernel. */
  follow(connection: Connection | null): void {
    if (connection === this.#connection) return;
    this.#connection?.stateChanged.disconnect(this.#watch, this);
    this.#connection?.received.disconnect(this.#take, this);
    this.#connection = connection;
    connection?.stateChanged.connect(this.#watch, this);
    connection?.received.connect(this.#take, this);
    this.#watch();
  }

  /** Whether there is something to say. */
  get hasText(): boolean {
    return this.#text.textContent !== "";
  }

  /** Do what a click does. */
  press(): void {
    if (this.#connection?.state === "absent") this.#actions.load();
    else if (this.#connection?.state === "open") this.#open();
  }

  dispose(): void {
    this.follow(null);
    this.#popup?.dispose();
    super.dispose();
  }

  #watch(): void {
    this.#model.follow(this.#connection?.state === "open" ? this.#connection : null);
  }

  #take(_connection: Connection, message: Message): void {
    this.#model.take(message);
  }

  #show(): void {
    const { status, pulling } = this.#model;
    const state = this.#connection?.state ?? null;
    const hadText = this.hasText;
    this.#text.textContent = line(state, status, pulling);
    this.node.title = this.#actions.explain(this.#connection);
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
    const view = new ModelPopup(this.#model, leave);
    const body = new Widget({ node: view.node });
    body.disposed.connect(view.dispose);
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
