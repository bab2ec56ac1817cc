/** The frame of the chat panel: the conversation, the composer, and what is going on. */

import type { Composer } from "../compose/composer.js";
import { createAnnouncer, make, makeButton, setText } from "../dom/elements.js";
import { keepShortcutsOut } from "../dom/shortcuts.js";
import { trans } from "../dom/words.js";
import type { Topic } from "../kernel/state.js";
import type { Store } from "../kernel/store.js";
import type { Notebook } from "../page/cells.js";
import { worded } from "../talk/code_actions.js";
import { Conversation } from "../talk/conversation.js";
import { Awaited } from "./awaited.js";
import { StatusView } from "./status.js";

const OF_THE_LIST: readonly Topic[] = ["path", "notices", "pending"];

/** Make a view of a chat. `isSpeaker` says whether this one, of all, announces. */
export function createPanel(
  store: Store,
  notebook: Notebook | null,
  composer: Composer,
  isSpeaker: () => boolean,
): { element: HTMLElement; dispose: () => void } {
  const controller = new AbortController();
  const { signal } = controller;
  const announcer = createAnnouncer();
  const awaited = new Awaited();
  const unknown = () =>
    store.state.connection === "failed" ? trans.__("Not connected.") : trans.__("Connecting…");
  const status = new StatusView(store.models, unknown);
  const conversation = new Conversation(
    {
      ...{ store, notebook, say: announcer.say },
      ...{ backToComposer: composer.focus, send: composer.send },
    },
    signal,
  );
  const name = make("span", "jllm-chat-name");
  const waiting = make("p", { className: "jllm-waiting", role: "status" });
  const error = make("span", "jllm-alert-text");
  const close = makeButton(trans.__("Close"), () => store.clearError(), { icon: "close" });
  const alert = make("div", { className: "jllm-alert", role: "alert" }, error, close);
  const element = make(
    "section",
    "jllm-panel",
    make("header", "jllm-header", make("span", "jllm-title", trans.__("Chat")), name),
    conversation.element,
    waiting,
    alert,
    composer.element,
    status.element,
    announcer.element,
  );

  /** Show what has changed, and leave the rest of the page as it is. */
  const update = (changed: ReadonlySet<Topic>, turns: ReadonlySet<number>) => {
    const { state } = store;
    const hadFocus = hasFocus(element);
    const { chat, connection } = state;
    setText(name, chat.name ?? "");
    element.ariaLabel = chat.name ? trans.__("Chat %1", chat.name) : trans.__("Chat");
    if (changed.has("connection")) {
      conversation.setHint(connection === "ready" ? emptyHint() : [make("p", "", unknown())]);
    }
    if (changed.has("status")) status.show(chat.status);
    const text = trans.__("The kernel is busy. This waits for the cell.");
    waiting.hidden = !state.waiting;
    setText(waiting, state.waiting ? text : "");
    alert.hidden = state.error === null;
    setText(error, state.error?.text ?? "");
    if (OF_THE_LIST.some((topic) => changed.has(topic))) conversation.showAll(state);
    for (const number of turns) conversation.showTurn(state, number);
    // A button that has done what it was for is gone, and the keys would go nowhere.
    if (hadFocus && !hasFocus(element)) composer.focus();
    const news = awaited.news(state);
    if (news.length > 0 && isSpeaker()) announcer.say(news.join(" "));
  };

  keepShortcutsOut(element);
  signal.addEventListener("abort", store.subscribe(update));
  update(new Set(["connection", "path", "status"]), new Set());
  return {
    element,
    dispose() {
      controller.abort();
      composer.dispose();
      status.dispose();
      element.remove();
    },
  };
}

/** Whether keys go to something in an element that can be seen. */
function hasFocus(element: HTMLElement): boolean {
  const { activeElement: focused } = document;
  return focused !== null && element.contains(focused) && focused.checkVisibility();
}

function emptyHint(): HTMLElement[] {
  return [
    make("p", "jllm-empty-title", trans.__("Ask about your notebook")),
    make("p", "", ...worded(trans.__("`/` commands"), "kbd")),
    make("p", "", ...worded(trans.__("`@` variables, cells and files"), "kbd")),
  ];
}
