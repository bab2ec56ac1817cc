/** The chats of one notebook: which there are, which one is shown, and what shows them. */

import type { NotebookPanel } from "@jupyterlab/notebook";
import type { IStateDB } from "@jupyterlab/statedb";
import type { TranslationBundle } from "@jupyterlab/translation";
import { UUID } from "@lumino/coreutils";
import type { IDisposable } from "@lumino/disposable";
import { type ISignal, Signal } from "@lumino/signaling";
import type { Connection } from "../connection/connection.js";
import type { Attachment, Chat, Found, Message, Request } from "../connection/messages.js";
import { type PanelScript, panelScript } from "../markdown/panel_script.js";
import { freeChatName } from "./naming.js";
import { NotebookPage } from "./notebook_page.js";
import { PanelModel } from "./panel_model.js";
import { savedView } from "./saved_chats.js";

/** A chat that is shown, or was: it stays as it is, with what stands in its field. */
interface ShownChat extends IDisposable {
  readonly model: PanelModel;
  readonly element: HTMLElement;
}

const FIRST = "default";

/** Behind it stands the path of a notebook whose chat is another one. */
const KEY = "jupyter-llm:chat:";

/** So long a turn is waited for. */
const MOST_FRAMES = 300;

const nextFrame = () => new Promise(requestAnimationFrame);

/** Let the chosen chats go along with notebooks, and with folders, that get another path. */
export async function moveChosen(memory: IStateDB, from: string, to: string): Promise<void> {
  const { ids, values } = await memory.list(KEY.slice(0, KEY.indexOf(":")));
  for (const [index, id] of ids.entries()) {
    const rest = id.slice(KEY.length + from.length);
    if (id !== KEY + from + rest || (rest && !rest.startsWith("/"))) continue;
    await memory.remove(id);
    await memory.save(KEY + to + rest, values[index] ?? null);
  }
}

export class NotebookChats implements IDisposable {
  readonly panel: NotebookPanel;
  readonly connection: Connection;
  /** Another chat is shown, or there are others. */
  readonly changed: ISignal<this, void>;
  /** Where the chats are shown. */
  readonly element = document.createElement("div");

  readonly #trans: TranslationBundle;
  readonly #changed: Signal<this, void>;
  readonly #memory: IStateDB | null;
  readonly #shown = new Map<string, ShownChat>();
  #saved: readonly Chat[] = [];
  #savedView: HTMLElement | null = null;
  #current = FIRST;
  /** Whether it is settled which chat is shown. */
  #isChosen = false;
  #isDisposed = false;

  constructor(
    panel: NotebookPanel,
    connection: Connection,
    memory: IStateDB | null,
    trans: TranslationBundle,
  ) {
    this.panel = panel;
    this.connection = connection;
    this.#memory = memory;
    this.#trans = trans;
    this.#changed = new Signal(this);
    this.changed = this.#changed;
    this.element.className = "jllm-side-chats jllm-fill";
  }

  get isDisposed(): boolean {
    return this.#isDisposed;
  }

  /** The name of the chat that is shown. */
  get current(): string {
    return this.#current;
  }

  /** All chats, those without a turn that were begun here too. */
  get all(): Chat[] {
    const begun = new Set([...this.#shown.keys(), this.#current]);
    for (const { name } of this.#saved) begun.delete(name);
    const empty = [...begun].map((name) => ({ name, num_turns: 0, title: "", when: null }));
    return [...this.#saved, ...empty];
  }

  get names(): string[] {
    return this.all.map(({ name }) => name);
  }

  /** Show a chat, now or once there is a connection; by itself the one that was shown last. */
  async show(chosen?: string): Promise<void> {
    if (chosen !== undefined) this.#choose(chosen);
    else if (!this.#isChosen) await this.#recall();
    const name = this.#current;
    if (this.connection.state === "open" && !this.#shown.has(name)) {
      const { default: makeWidget } = await panelScript();
      if (this.#isDisposed) return;
      this.#savedView?.remove();
      if (!this.#shown.has(name)) this.#shown.set(name, this.#open(name, makeWidget));
    }
    for (const [other, { element }] of this.#shown) element.hidden = other !== this.#current;
  }

  /** Show a turn of a chat, and go there. */
  async showTurn(chat: string, number: number): Promise<void> {
    await this.show(chat);
    const find = () =>
      this.#shown.get(chat)?.element.querySelector<HTMLElement>(`[data-number="${number}"]`);
    for (let frames = 0; frames < MOST_FRAMES && !find(); frames += 1) await nextFrame();
    await nextFrame(); // a chat that has just come shows its end first
    const turn = find();
    if (!turn) return;
    turn.tabIndex = -1;
    turn.focus({ preventScroll: true });
    turn.scrollIntoView({ block: "start" });
  }

  /** Show what the notebook was saved with, as long as nothing of a kernel's is shown. */
  showSaved(): void {
    this.#savedView?.remove();
    this.#savedView = this.#shown.size === 0 ? savedView(this.panel) : null;
    if (this.#savedView) this.element.append(this.#savedView);
  }

  /** Have something go along with the next prompt of the chat that is shown. */
  async attach(attachment: Attachment): Promise<void> {
    await this.show();
    this.#shown.get(this.#current)?.model.attach(attachment);
  }

  /** Begin another chat. */
  begin(): Promise<void> {
    return this.show(freeChatName(this.names));
  }

  /** Ask which chats there are, and where words stand in them. */
  list(words = ""): Promise<Found[]> {
    return this.#ask({ type: "list-chats", words });
  }

  async rename(newName: string): Promise<void> {
    const name = this.#current;
    const written = newName.trim().replace(/\s+/gu, " "); // as the kernel writes it
    const shown = this.#shown.get(name);
    await this.#ask({ type: "rename-chat", name, new_name: newName });
    if (shown) this.#move(shown.model.chat, written); // unless the chat has said so already
    await this.show(written);
  }

  /** Forget the chat that is shown for good, and show another one. */
  async delete(): Promise<void> {
    const name = this.#current;
    await this.#ask({ type: "delete-chat", name });
    this.#shown.get(name)?.dispose();
    this.#shown.delete(name);
    this.#current = FIRST; // so that the one that has gone is among the names no more
    await this.show(this.names[0]);
    this.#changed.emit();
  }

  /** The chat that is shown as a Markdown text. */
  async export(): Promise<string> {
    const { reply } = this.connection.request({ type: "export-chat", name: this.#current });
    const exported = await reply;
    return exported.type === "text" ? exported.text : "";
  }

  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    for (const shown of this.#shown.values()) shown.dispose();
    this.#shown.clear();
    this.element.remove();
    Signal.clearData(this);
  }

  #choose(name: string): void {
    const isOther = name !== this.#current;
    this.#current = name;
    this.#isChosen = true;
    if (name === FIRST) void this.#memory?.remove(this.#key);
    else void this.#memory?.save(this.#key, name);
    if (isOther) this.#changed.emit();
  }

  /** Keep a chat by its other name; an empty one that had it goes by the first, as in the kernel. */
  #move(from: string, to: string): void {
    const [moved, other] = [this.#shown.get(from), this.#shown.get(to)];
    if (!moved || from === to) return;
    this.#shown.delete(from);
    this.#keep(moved, to);
    if (other) this.#keep(other, from);
    this.#saved = this.#saved.map((chat) => (chat.name === from ? { ...chat, name: to } : chat));
    if (this.#current === from) this.#choose(to);
    else if (other && this.#current === to) this.#choose(from);
    this.#changed.emit();
  }

  #keep(shown: ShownChat, name: string): void {
    shown.model.chat = name;
    this.#shown.set(name, shown);
  }

  /** Go back to what this page showed before it was loaded again, if that is still there. */
  async #recall(): Promise<void> {
    const name = await this.#memory?.fetch(this.#key);
    if (typeof name === "string") await this.list();
    if (this.#isChosen) return; // meanwhile
    if (typeof name === "string" && this.names.includes(name)) this.#choose(name);
    this.#isChosen = true;
  }

  get #key(): string {
    return KEY + this.panel.context.path;
  }

  async #ask(request: Request): Promise<Found[]> {
    const answer: Message = await this.connection.request(request).reply;
    if (answer.type !== "chats") return [];
    this.#saved = answer.chats;
    this.#changed.emit();
    return answer.found;
  }

  #open(name: string, makeWidget: PanelScript["default"]): ShownChat {
    const { panel, connection } = this;
    const element = document.createElement("div");
    this.element.append(element);
    const place = { widget_manager: { context: panel.context }, page: new NotebookPage(panel) };
    const gone = this.#trans.__("The kernel is not connected. See above.");
    const model = new PanelModel(connection, UUID.uuid4(), name, place, gone);
    model.on("change:chat", (other) => this.#move(model.chat, other as string));
    const widget = makeWidget();
    const ends = [widget.initialize({ model }), widget.render({ model, el: element })];
    let isDisposed = false;
    return {
      model,
      element,
      get isDisposed() {
        return isDisposed;
      },
      dispose() {
        isDisposed = true;
        for (const end of ends.reverse()) end();
        model.dispose();
        element.remove();
      },
    };
  }
}
