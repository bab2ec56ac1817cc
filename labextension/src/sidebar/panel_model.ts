/** What chat_panel.js knows as its widget's model: one chat of one notebook, over the extension's comm. */

import type { UUID } from "@lumino/coreutils";
import type { Connection, ConnectionState } from "../connection/connection.js";
import type { Attachment, PanelNews } from "../connection/messages.js";
import type { CellsOnPage } from "../page/cells.js";

export type PanelId = ReturnType<typeof UUID.uuid4>;

/** What a model needs of a connection. */
export type Line = Pick<
  Connection,
  "state" | "stateChanged" | "panelReceived" | "request" | "tell"
>;

/** Where the chat's front end finds the cells of the notebook. */
export interface PanelPlace {
  readonly widget_manager: { context: unknown };
  readonly page: CellsOnPage;
}

type Listener = (value: unknown) => void;

/**
 * Hands on the messages of one chat, and says so when the kernel is another one: chat_panel.js asks
 * for everything again when it hears `comm_live_update`. When the chat goes by another name in the
 * kernel it says `change:chat`; whoever keeps chats by their names sets `chat` then.
 */
export class PanelModel {
  readonly widget_manager: PanelPlace["widget_manager"];
  readonly page: CellsOnPage;
  /** What is said of a prompt that cannot be sent. */
  readonly gone: string;
  /** The chat's name, which it goes by when the kernel is another one. */
  chat: string;
  readonly #id: PanelId;
  readonly #line: Line;
  readonly #listeners = new Map<string, Set<Listener>>();

  constructor(line: Line, id: PanelId, chat: string, place: PanelPlace, gone: string) {
    this.widget_manager = place.widget_manager;
    this.page = place.page;
    this.gone = gone;
    this.#line = line;
    this.#id = id;
    this.chat = chat;
    line.panelReceived.connect(this.#take);
    line.stateChanged.connect(this.#follow);
    this.#open();
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

  /** Send something; fails where there is no kernel that takes it. */
  send(message: Record<string, unknown>): void {
    if (this.#line.state !== "open") throw new Error(this.gone);
    this.#line.tell(this.#id, message);
  }

  /** Have something go along with the next prompt. */
  attach(attachment: Attachment): void {
    this.#tell("attach", attachment);
  }

  dispose(): void {
    this.#line.panelReceived.disconnect(this.#take);
    this.#line.stateChanged.disconnect(this.#follow);
    this.#listeners.clear();
    if (this.#line.state === "open")
      this.#line.request({ type: "panel-close", panel_id: this.#id });
  }

  #open(): void {
    if (this.#line.state !== "open") return;
    this.#line.request({ type: "panel-open", panel_id: this.#id, chat: this.chat });
    this.#tell("comm_live_update", undefined);
  }

  #tell(name: string, value: unknown): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) listener(value);
  }

  readonly #take = (_: unknown, { panel, message }: PanelNews): void => {
    if (panel !== this.#id) return;
    const { type, chat } = message;
    if (type === "snapshot" && typeof chat === "string" && chat !== this.chat) {
      this.#tell("change:chat", chat);
    }
    this.#tell("msg:custom", message);
  };

  readonly #follow = (_: unknown, state: ConnectionState): void => {
    if (state === "open") this.#open();
  };
}
