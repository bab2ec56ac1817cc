/** The line about the model in the status bar. */

import { Widget } from "@lumino/widgets";
import type { Connection } from "../connection/connection.js";
import type { Message } from "../connection/messages.js";
import { standing } from "../connection/standing.js";
import { trans } from "../dom/words.js";
import { ModelStatus } from "../kernel/model_status.js";
import { createModelPicker } from "../models/model_picker.js";

/**
 * A button that says what the model of the notebook in front does, and opens more, or loads
 * jupyter_llm; it announces nothing by itself. The kernels of the others are asked nothing.
 */
export class StatusItem extends Widget {
  readonly #model = new ModelStatus();
  readonly #picker: ReturnType<typeof createModelPicker>;
  #connection: Connection | null = null;

  constructor(load: () => void, openSettings: () => void) {
    super();
    this.#picker = createModelPicker(this.#model, () => this.#unknown(), openSettings);
    const { element, button } = this.#picker;
    button.className = "jllm-status-item jp-StatusBar-TextItem jp-mod-highlighted";
    button.addEventListener("click", () => {
      if (this.#connection?.state === "absent") load();
    });
    this.#model.onChange(() => this.#explain());
    this.node.append(element);
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

  /** Do what a click does. */
  press(): void {
    this.#picker.button.click();
  }

  #watch(): void {
    this.#model.follow(this.#connection?.state === "open" ? this.#connection : null);
  }

  #take(_connection: Connection, message: Message): void {
    this.#model.take(message);
  }

  /** Return the text without a model. */
  #unknown(): string {
    switch (this.#connection?.state) {
      case "absent":
        return trans.__("LLM: not loaded");
      case "differs":
        return trans.__("LLM: versions differ");
      default:
        return ""; // if it is connected the model is known in a moment
    }
  }

  #explain(): void {
    const connection = this.#connection;
    const text = standing(connection);
    const { button } = this.#picker;
    if (connection?.state === "absent") button.title = trans.__("%1 Click to load it.", text);
    else if (text) button.title = text;
  }
}
