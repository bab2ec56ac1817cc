/** What chat_panel.js knows as its widget's model: one chat of one notebook, over the extension's comm. */

import { UUID } from "@lumino/coreutils";
import type { Connection } from "../connection/connection.js";
import type { PanelNews } from "../connection/messages.js";
import { trans } from "../dom/words.js";

type Listener = (value: unknown) => void;

/**
 * Hands on the messages of one chat, and says so when the kernel is another one: chat_panel.js asks
 * for everything again when it hears `comm_live_update`. When the chat goes by another name in the
 * kernel it says `change:chat`; whoever keeps chats by their names sets `chat` then.
 */
export class PanelModel {
  /** Where the front end finds the notebook. */
  readonly widget_manager: { context: unknown };
  /** The chat's name, which it goes by when the kernel is another one. */
  chat: string;
  readonly #id = UUID.uuid4();
  readonly #line: Connection;
  readonly #listeners = new Map<string, Set<Listener>>();

  constructor(line: Connection, chat: string, context: unknown) {
    this.widget_manager = { context };
    this.#line = line;
    this.chat = chat;
    line.panelReceived.connect(this.#take, this);
    line.stateChanged.connect(this.#open, this);
    this.#open();
  }

  /** What is said of a prompt that cannot be sent. */
  get gone(): string {
    return trans.__("The kernel is not connected. See above.");
  }

  get(name: string): unknown {
    return name === "panel_id" ? this.#id : undefined;
  }

  on(name: string, listener: Listener): void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
  }

  off(name: string, listener: Listener): void {
    this.#listeners.get(name)?.delete(listener);
  }

  /** Let the listeners to something hear of it. */
  tell(name: string, value?: unknown): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) listener(value);
  }

  /** Send something; fails where there is no kernel that takes it. */
  send(message: Record<string, unknown>): void {
    if (this.#line.state !== "open") throw new Error(this.gone);
    this.#line.tell(this.#id, message);
  }

  dispose(): void {
    this.#line.panelReceived.disconnect(this.#take, this);
    this.#line.stateChanged.disconnect(this.#open, this);
    this.#listeners.clear();
    if (this.#line.state !== "open") return;
    this.#line.call("hide_chat", { panel_id: this.#id });
  }

  #open(): void {
    if (this.#line.state !== "open") return;
    this.#line.call("show_chat", { panel_id: this.#id, chat: this.chat });
    this.tell("comm_live_update");
  }

  #take(_: unknown, { panel, message }: PanelNews): void {
    if (panel !== this.#id) return;
    const { name } = (message.patch ?? message.document ?? {}) as { name?: string | null };
    if (name && name !== this.chat) this.tell("change:chat", name);
    this.tell("msg:custom", message);
  }
}
