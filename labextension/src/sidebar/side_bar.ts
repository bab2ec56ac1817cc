/** The side bar: the chat of the notebook in front, and what is the matter where there is none. */

import type { NotebookPanel } from "@jupyterlab/notebook";
import type { IStateDB } from "@jupyterlab/statedb";
import type { TranslationBundle } from "@jupyterlab/translation";
import { addIcon, ellipsesIcon, type LabIcon } from "@jupyterlab/ui-components";
import type { Message } from "@lumino/messaging";
import { Widget } from "@lumino/widgets";
import type { Connections } from "../connection/connections.js";
import type { Attachment } from "../connection/messages.js";
import { loadFailure, standing } from "../connection/standing.js";
import { ChatList } from "./chat_list.js";
import { NotebookChats } from "./notebook_chats.js";

/** So it is seen that a person does something. */
const INPUT = ["pointerdown", "keydown"];

/** What the side bar asks of the application. */
export interface SideBarActions {
  begin(): void;
  openMenu(button: HTMLElement): void;
  leave(): void;
}

/** Nothing is asked of a kernel and nothing fetched before it is seen. */
export class SideBar extends Widget {
  readonly #connections: Connections;
  readonly #trans: TranslationBundle;
  readonly #chats = new Map<NotebookPanel, NotebookChats>();
  readonly #list = new ChatList((chat, turn) => this.#choose(chat, turn));
  readonly #head = document.createElement("div");
  readonly #line = document.createElement("div");
  readonly #text = document.createElement("span");
  readonly #load = document.createElement("button");
  readonly #body = document.createElement("div");
  readonly #memory: IStateDB | null;
  readonly #actions: SideBarActions;
  #panel: NotebookPanel | null = null;
  #wantsFocus = false;

  constructor(
    connections: Connections,
    memory: IStateDB | null,
    trans: TranslationBundle,
    actions: SideBarActions,
  ) {
    super();
    this.#connections = connections;
    this.#memory = memory;
    this.#trans = trans;
    this.#actions = actions;
    this.addClass("jllm-side");
    this.node.setAttribute("role", "region");
    this.node.setAttribute("aria-label", trans.__("Chat with the model in the kernel"));
    this.#build();
  }

  /** The chats of the notebook in front, if its kernel is connected. */
  get chats(): NotebookChats | null {
    const chats = this.#panel && this.#chats.get(this.#panel);
    return chats?.connection.state === "open" ? chats : null;
  }

  /** The notebook in front. */
  get panel(): NotebookPanel | null {
    return this.#panel;
  }

  /** Have something go along with the next prompt in the chat of the notebook in front. */
  attach(attachment: Attachment): void {
    const chats = this.#panel && this.#of(this.#panel);
    chats?.attach(attachment).catch(this.#fail);
  }

  /** Go over to another notebook. */
  follow(panel: NotebookPanel | null): void {
    this.#panel = panel;
    this.#show();
  }

  /** Say something, with a button behind it that does something about it. */
  say(text: string, action?: { label: string; run: () => void }): void {
    this.#text.textContent = text;
    this.#line.hidden = text === "" && !action;
    this.#load.hidden = !action;
    this.#load.disabled = false;
    this.#load.textContent = action?.label ?? "";
    this.#load.onclick = action?.run ?? null;
  }

  dispose(): void {
    if (this.isDisposed) return;
    for (const chats of this.#chats.values()) chats.dispose();
    this.#chats.clear();
    for (const type of INPUT) document.removeEventListener(type, this.#seeInput, true);
    super.dispose();
  }

  protected onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.#show();
  }

  protected onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.#wantsFocus = true;
    this.#takeFocus();
    // The palette that it may have been opened with gives the focus back to the notebook first.
    requestAnimationFrame(() => {
      this.#wantsFocus = true;
      this.#takeFocus();
    });
  }

  #build(): void {
    const { __ } = { __: this.#trans.__.bind(this.#trans) };
    this.#head.className = "jllm-side-head";
    this.#head.append(
      this.#list.button,
      this.#list.popup,
      iconButton(addIcon, __("New chat"), () => this.#actions.begin()),
      iconButton(ellipsesIcon, __("More"), (button) => this.#actions.openMenu(button), "menu"),
    );
    this.#text.setAttribute("role", "status");
    this.#load.className = "jp-mod-styled jllm-side-button";
    this.#load.type = "button";
    this.#line.className = "jllm-side-line";
    this.#line.append(this.#text, this.#load);
    this.#body.className = "jllm-side-body";
    this.node.append(this.#head, this.#line, this.#body);
    // Before the chat, which keeps what is typed to itself; it says whether a key meant something.
    this.node.addEventListener("keydown", this.#takeKey, { capture: true });
    for (const type of INPUT) document.addEventListener(type, this.#seeInput, true);
  }

  readonly #takeKey = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || event.isComposing) return;
    setTimeout(() => {
      if (!event.defaultPrevented) this.#actions.leave();
    });
  };

  /** Show how things stand with the notebook in front. */
  #show(): void {
    if (!this.isVisible) return;
    const chats = this.#panel && this.#of(this.#panel);
    const { state = null, version = "", kernelVersion = null } = chats?.connection ?? {};
    const versions = { ours: version, theirs: kernelVersion };
    const { text, canLoad } = standing(state, versions, (said, ...v) => this.#trans.__(said, ...v));
    const load = { label: this.#trans.__("Load it"), run: () => void this.#loadKernel() };
    this.say(text, canLoad ? load : undefined);
    this.#head.hidden = state !== "open";
    for (const other of this.#chats.values()) other.element.hidden = other !== chats;
    if (state !== "open") chats?.showSaved();
    if (!chats || state !== "open") return;
    this.#list.show(chats);
    chats.show().then(() => this.#takeFocus(), this.#fail);
    chats.list().catch(() => {}); // the connection was lost: it says so
  }

  /** What is kept of a notebook, as long as it is open. */
  #of(panel: NotebookPanel): NotebookChats {
    const known = this.#chats.get(panel);
    if (known) return known;
    const connection = this.#connections.of(panel);
    const chats = new NotebookChats(panel, connection, this.#memory, this.#trans);
    this.#chats.set(panel, chats);
    this.#body.append(chats.element);
    const show = () => {
      if (panel === this.#panel) this.#show();
    };
    chats.connection.stateChanged.connect(show);
    chats.changed.connect(() => {
      if (panel === this.#panel) this.#list.show(chats);
    });
    panel.disposed.connect(() => {
      chats.connection.stateChanged.disconnect(show);
      chats.dispose();
      this.#chats.delete(panel);
    });
    return chats;
  }

  #choose(chat: string, turn?: number): void {
    const { chats } = this;
    this.#wantsFocus = turn === undefined;
    const shown = turn === undefined ? chats?.show(chat) : chats?.showTurn(chat, turn);
    shown?.then(() => this.#takeFocus(), this.#fail);
  }

  readonly #fail = (error: unknown): void => {
    const reason = error instanceof Error ? error.message : String(error);
    this.say(this.#trans.__("The chat cannot be shown: %1", reason));
  };

  async #loadKernel(): Promise<void> {
    const { connection } = this.#panel ? this.#of(this.#panel) : {};
    if (!connection) return;
    const panel = this.#panel;
    this.#wantsFocus = true;
    this.#load.disabled = true;
    this.#text.textContent = this.#trans.__("Loading…");
    try {
      await connection.load();
      this.#takeFocus();
    } catch (error) {
      if (this.#panel !== panel) return;
      this.#show();
      const reason = error instanceof Error ? error.message : String(error);
      this.#text.textContent = loadFailure(reason, (said, ...v) => this.#trans.__(said, ...v));
    }
  }

  /** Whoever goes on elsewhere until there is a field stays there. */
  readonly #seeInput = ({ target }: Event): void => {
    if (!(target instanceof Node && this.node.contains(target))) this.#wantsFocus = false;
  };

  /** Go to where prompts are written, once that is there. */
  #takeFocus(): void {
    if (!this.#wantsFocus || !this.isVisible) return;
    const field = [...this.#body.querySelectorAll<HTMLElement>(".jllm-composer textarea")].find(
      (found) => found.checkVisibility(),
    );
    if (field) this.#wantsFocus = false;
    (field ?? (this.#load.hidden ? null : this.#load))?.focus();
  }
}

function iconButton(
  icon: LabIcon,
  name: string,
  onClick: (button: HTMLElement) => void,
  popup?: string,
): HTMLButtonElement {
  const button = document.createElement("button");
  button.className = "jllm-side-icon";
  button.type = "button";
  button.title = name;
  button.setAttribute("aria-label", name);
  if (popup) button.setAttribute("aria-haspopup", popup);
  button.append(icon.element({ tag: "span", elementSize: "normal" }));
  button.onclick = () => onClick(button);
  return button;
}
