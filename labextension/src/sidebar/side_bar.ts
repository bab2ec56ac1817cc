/** The side bar: the chat of the notebook in front, and what is the matter where there is none. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { NotebookPanel } from "@jupyterlab/notebook";
import type { IStateDB } from "@jupyterlab/statedb";
import { addIcon, ellipsesIcon } from "@jupyterlab/ui-components";
import type { Message } from "@lumino/messaging";
import { Menu, Widget } from "@lumino/widgets";
import type { Connections } from "../connection/connections.js";
import type { Attachment } from "../connection/messages.js";
import { loadFailure, standing } from "../connection/standing.js";
import { iconButton, make, menuButton } from "../dom/elements.js";
import { trans } from "../dom/words.js";
import { ChatList } from "./chat_list.js";
import { NotebookChats } from "./notebook_chats.js";

/** The commands about the chat that is shown, in the order of the menu. */
export const IDS = {
  begin: "jupyter-llm:new-chat",
  rename: "jupyter-llm:rename-chat",
  export: "jupyter-llm:export-chat",
  delete: "jupyter-llm:delete-chat",
} as const;

/** Nothing is asked of a kernel and nothing fetched before it is seen. */
export class SideBar extends Widget {
  readonly #app: JupyterFrontEnd;
  readonly #connections: Connections;
  readonly #memory: IStateDB | null;
  readonly #chats = new Map<NotebookPanel, NotebookChats>();
  readonly #list = new ChatList((chat, turn) => this.#choose(chat, turn));
  readonly #head = make("div", "jllm-side-head", this.#list.button, this.#list.popup);
  readonly #text = make("span", { role: "status" });
  readonly #button = make("button", {
    type: "button",
    className: "jp-mod-styled jllm-side-button",
  });
  readonly #line = make("div", "jllm-side-line", this.#text, this.#button);
  readonly #body = make("div", "jllm-side-body");
  #panel: NotebookPanel | null = null;
  #wantsFocus = false;

  constructor(app: JupyterFrontEnd, connections: Connections, memory: IStateDB | null) {
    super();
    this.#app = app;
    this.#connections = connections;
    this.#memory = memory;
    this.addClass("jllm-side");
    const ariaLabel = trans.__("Chat with the model in the kernel");
    Object.assign(this.node, { role: "region", ariaLabel });
    const { commands } = app;
    const menu = new Menu({ commands });
    for (const command of Object.values(IDS)) menu.addItem({ command });
    const more = menuButton(ellipsesIcon, trans.__("More"), menu);
    const begin = () => void commands.execute(IDS.begin);
    this.#head.append(iconButton(addIcon, trans.__("New chat"), begin), more);
    this.node.append(this.#head, this.#line, this.#body);
    // Before the chat, which keeps what is typed to itself; it says whether a key meant something.
    this.node.addEventListener("keydown", this.#takeKey, { capture: true });
    document.addEventListener("pointerdown", this.#seeInput, true);
    document.addEventListener("keydown", this.#seeInput, true);
  }

  /** The chats of the notebook in front, if its kernel is connected. */
  get chats(): NotebookChats | null {
    const chats = this.#panel && this.#chats.get(this.#panel);
    return chats?.connection.state === "open" ? chats : null;
  }

  /** Have something go along with the next prompt in the chat of the notebook in front. */
  attach(attachment: Attachment): void {
    const panel = this.#panel;
    const attached = panel && this.#of(panel).attach(attachment);
    attached?.catch((error: Error) => this.#fail(panel, error));
  }

  /** Go over to another notebook. */
  follow(panel: NotebookPanel | null): void {
    this.#panel = panel;
    this.#show();
  }

  /** Say something about a notebook, with a button, unless another notebook is in front by now. */
  report(
    panel: NotebookPanel | null,
    text: string,
    action?: { label: string; run: () => void },
  ): void {
    if (panel !== this.#panel) return;
    this.#text.textContent = text;
    this.#line.hidden = text === "";
    this.#button.hidden = !action;
    this.#button.disabled = false;
    this.#button.textContent = action?.label ?? "";
    this.#button.onclick = action?.run ?? null;
  }

  protected onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.#show();
  }

  protected onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.#wantsFocus = true;
    // The palette that it may have been opened with gives the focus back to the notebook first.
    requestAnimationFrame(() => {
      this.#wantsFocus = true;
      this.#takeFocus();
    });
  }

  readonly #takeKey = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || event.isComposing) return;
    setTimeout(() => {
      if (event.defaultPrevented || !this.#panel) return;
      this.#app.shell.activateById(this.#panel.id);
      this.#panel.content.activate();
    });
  };

  /** Show how things stand with the notebook in front. */
  #show(): void {
    if (!this.isVisible) return;
    const chats = this.#panel && this.#of(this.#panel);
    const { connection = null } = chats ?? {};
    const isOpen = connection?.state === "open";
    const isAbsent = connection?.state === "absent";
    this.report(this.#panel, standing(connection), isAbsent ? this.#loadAction : undefined);
    this.#head.hidden = !isOpen;
    for (const other of this.#chats.values()) other.element.hidden = other !== chats;
    if (!isOpen) void chats?.showSaved();
    if (!chats || !isOpen) return;
    this.#list.show(chats);
    chats.show().then(
      () => this.#takeFocus(),
      (error: Error) => this.#fail(chats.panel, error),
    );
    chats.list().catch(() => {}); // the connection was lost: it says so
  }

  /** Return the chats of a notebook, which are kept as long as the notebook is open. */
  #of(panel: NotebookPanel): NotebookChats {
    const kept = this.#chats.get(panel);
    if (kept) return kept;
    const connection = this.#connections.of(panel);
    const chats = new NotebookChats(panel, connection, this.#memory);
    this.#chats.set(panel, chats);
    this.#body.append(chats.element);
    const show = () => {
      if (panel === this.#panel) this.#show();
    };
    connection.stateChanged.connect(show);
    chats.changed.connect(() => {
      if (panel === this.#panel) this.#list.show(chats);
    });
    panel.disposed.connect(() => {
      connection.stateChanged.disconnect(show);
      chats.dispose();
      this.#chats.delete(panel);
    });
    return chats;
  }

  /** Show a chat and go to its field, or to a turn, unless somebody does something else meanwhile. */
  #choose(chat: string, turn?: number): void {
    const { chats } = this;
    if (!chats) return;
    this.#wantsFocus = true;
    const shown = chats.show(chat).then(() => (turn === undefined ? null : chats.turn(turn)));
    shown.then(
      (place) => this.#takeFocus(place),
      (error: Error) => this.#fail(chats.panel, error),
    );
  }

  #fail(panel: NotebookPanel | null, error: Error): void {
    this.report(panel, trans.__("The chat cannot be shown: %1", error.message));
  }

  get #loadAction() {
    return { label: trans.__("Load it"), run: () => this.#load() };
  }

  #load(): void {
    this.#wantsFocus = true;
    this.#button.disabled = true;
    this.#text.textContent = trans.__("Loading…");
    const panel = this.#panel;
    const loaded = panel && this.#connections.of(panel).load();
    loaded?.then(
      () => this.#show(),
      (error: Error) => this.report(panel, loadFailure(error.message), this.#loadAction),
    );
  }

  /** Whoever goes on elsewhere until there is a field stays there. */
  readonly #seeInput = ({ target }: Event): void => {
    if (!(target instanceof Node && this.node.contains(target))) this.#wantsFocus = false;
  };

  /** Go to where prompts are written, once that is there, or to a turn. */
  #takeFocus(turn: HTMLElement | null = null): void {
    if (!this.#wantsFocus || !this.isVisible) return;
    const fields = this.#body.querySelectorAll<HTMLElement>(".jllm-composer textarea");
    const place = turn ?? [...fields].find((field) => field.checkVisibility());
    if (place) this.#wantsFocus = false;
    if (turn) turn.tabIndex = -1;
    (place ?? this.#button).focus({ preventScroll: true }); // a hidden button takes none
    turn?.scrollIntoView({ block: "start" });
  }
}
