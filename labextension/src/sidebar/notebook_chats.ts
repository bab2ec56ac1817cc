/** The chats of one notebook: which there are, which one is shown, and what shows them. */

import { PathExt } from "@jupyterlab/coreutils";
import type { NotebookPanel } from "@jupyterlab/notebook";
import type { Contents } from "@jupyterlab/services";
import type { IStateDB } from "@jupyterlab/statedb";
import { Signal } from "@lumino/signaling";
import { forget } from "../compose/unsent.js";
import type { Connection } from "../connection/connection.js";
import type { Attachment, Chat, Chats, Found } from "../connection/messages.js";
import { make } from "../dom/elements.js";
import { type PanelScript, panelScript } from "../markdown/panel_script.js";
import { exportName, freeChatName } from "./naming.js";
import { PanelModel } from "./panel_model.js";
import { savedView } from "./saved_chats.js";

/** A chat that is shown, or was: it stays as it is, with what stands in its field. */
interface ShownChat {
  readonly model: PanelModel;
  readonly element: HTMLElement;
  dispose(): void;
}

const FIRST = "default";

/** The frames that we wait for a turn. */
const MOST_FRAMES = 300;

const nextFrame = () => new Promise(requestAnimationFrame);

export class NotebookChats {
  readonly panel: NotebookPanel;
  readonly connection: Connection;
  /** Another chat is shown, or there are others. */
  readonly changed = new Signal<this, void>(this);
  /** The element that shows the chats. */
  readonly element = make("div", "jllm-side-chats jllm-fill");

  readonly #memory: IStateDB | null;
  readonly #shown = new Map<string, ShownChat>();
  readonly #attached: Attachment[] = [];
  #saved: readonly Chat[] = [];
  #savedView: HTMLElement | null = null;
  #current = FIRST;
  /** Whether it is settled which chat is shown. */
  #isChosen = false;
  #isDisposed = false;

  constructor(panel: NotebookPanel, connection: Connection, memory: IStateDB | null) {
    this.panel = panel;
    this.connection = connection;
    this.#memory = memory;
    panel.context.pathChanged.connect(this.#remember, this);
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

  /** Show a chat, or the one that was shown last. What it takes is fetched the first time. */
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
    const model = this.#shown.get(this.#current)?.model;
    if (model) for (const one of this.#attached.splice(0)) model.tell("attach", one);
  }

  /** Wait for a turn of the chat that is shown; null if it does not come. */
  async turn(number: number): Promise<HTMLElement | null> {
    const shown = this.#shown.get(this.#current);
    const find = () => shown?.element.querySelector<HTMLElement>(`[data-number="${number}"]`);
    for (let frames = 0; frames < MOST_FRAMES && !find(); frames += 1) await nextFrame();
    await nextFrame(); // a chat that has just come shows its end first
    return find() ?? null;
  }

  /** Show what the notebook was saved with, as long as nothing of a kernel's is shown. */
  async showSaved(): Promise<void> {
    await this.panel.context.ready;
    this.#savedView?.remove();
    const cells = this.#shown.size === 0 ? this.panel.content.model?.cells : null;
    this.#savedView = savedView(cells ?? []);
    if (this.#savedView) this.element.append(this.#savedView);
  }

  /** Have something go along with the next prompt of the chat that is shown, once there is one. */
  attach(attachment: Attachment): Promise<void> {
    this.#attached.push(attachment);
    return this.show();
  }

  /** Begin another chat. */
  async begin(): Promise<void> {
    await this.list(); // another view may have begun one
    await this.show(freeChatName(this.names));
  }

  /** Ask which chats there are, and where words stand in them. */
  list(words = ""): Promise<Found[]> {
    return this.#take(this.connection.call("list_chats", { words }));
  }

  async rename(newName: string): Promise<void> {
    const name = this.#current;
    const written = newName.trim().replace(/\s+/gu, " "); // as the kernel writes it
    const shown = this.#shown.get(name);
    await this.#take(this.connection.call("rename_chat", { name, new_name: newName }));
    if (shown) this.#move(shown.model.chat, written); // unless the chat has said so already
    await this.show(written);
  }

  /** Forget the chat that is shown for good, and show another one. */
  async delete(): Promise<void> {
    const name = this.#current;
    await this.#take(this.connection.call("delete_chat", { name }));
    forget({ path: this.panel.context.path, cell: null }, name);
    this.#shown.get(name)?.dispose();
    this.#shown.delete(name);
    if (this.#current !== name) return this.changed.emit(); // somebody has gone on meanwhile
    this.#current = FIRST; // so that the one that has gone is among the names no more
    await this.show(this.names[0]);
    this.changed.emit();
  }

  /** Save the chat as Markdown beside its notebook, overwrite no file, and return the path. */
  async save(contents: Contents.IManager): Promise<string> {
    const name = this.#current;
    const content = await this.connection.call("export_chat", { name });
    const { path, localPath } = this.panel.context;
    const folder = PathExt.dirname(localPath);
    const drive = path.slice(0, path.length - localPath.length); // with its colon
    const listed: Contents.IModel = await contents.get(drive + folder);
    const files = (listed.content as { name: string }[]).map((file) => file.name);
    const target = drive + PathExt.join(folder, exportName(localPath, name, files));
    await contents.save(target, { type: "file", format: "text", content });
    return target;
  }

  dispose(): void {
    this.#isDisposed = true;
    for (const shown of this.#shown.values()) shown.dispose();
    this.element.remove();
    this.panel.context.pathChanged.disconnect(this.#remember, this);
    Signal.clearData(this);
  }

  #choose(name: string): void {
    const isOther = name !== this.#current;
    this.#current = name;
    this.#isChosen = true;
    this.#remember();
    if (isOther) this.changed.emit();
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
    this.changed.emit();
  }

  #keep(shown: ShownChat, name: string): void {
    shown.model.chat = name;
    this.#shown.set(name, shown);
  }

  /** Show what this page showed before it was loaded again, else the chat that is in use. */
  async #recall(): Promise<void> {
    const name = await this.#memory?.fetch(this.#key);
    await this.list().catch(() => {}); // the connection was lost: it says so
    if (this.#isChosen) return; // meanwhile
    const latest = this.#saved.toSorted((one, other) => (other.when ?? 0) - (one.when ?? 0))[0];
    const isThere = typeof name === "string" && this.names.includes(name);
    this.#choose(isThere ? name : (latest?.name ?? FIRST));
  }

  /** Keep in mind which chat is shown where the notebook lies now. */
  #remember(): void {
    if (!this.#isChosen) return;
    void this.#memory?.save(this.#key, this.#current);
  }

  get #key(): string {
    return `jupyter-llm:chat:${this.panel.context.path}`;
  }

  async #take(reply: Promise<Chats>): Promise<Found[]> {
    const { chats, found } = await reply;
    this.#saved = chats;
    this.changed.emit();
    return found;
  }

  #open(name: string, makeWidget: PanelScript["default"]): ShownChat {
    const { panel, connection } = this;
    const element = make("div", "");
    this.element.append(element);
    const model = new PanelModel(connection, name, panel.context);
    model.on("change:chat", (other) => this.#move(model.chat, other as string));
    const widget = makeWidget();
    const ends = [widget.initialize({ model }), widget.render({ model, el: element })];
    const dispose = () => {
      for (const end of ends.reverse()) end();
      model.dispose();
      element.remove();
    };
    return { model, element, dispose };
  }
}
