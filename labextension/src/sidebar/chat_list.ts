/** The list of a notebook's chats: which there are, and where words stand in them. */

import type { Chat, Found } from "../connection/messages.js";
import { make } from "../dom/elements.js";
import { openBeside } from "../dom/places.js";
import { language, trans } from "../dom/words.js";
import type { NotebookChats } from "./notebook_chats.js";

/** Whoever types is let finish a word before it is looked for. */
const PAUSE_MS = 150;

/** A button that says which chat is shown, and a popover with all there are, to be searched. */
export class ChatList {
  readonly button = make("button", { className: "jllm-side-chat", type: "button" });
  readonly #field = make("input", {
    ...{ className: "jp-mod-styled", type: "search" },
    ...{ placeholder: trans.__("Search all chats"), ariaLabel: trans.__("Search all chats") },
  });
  readonly #status = make("p", { role: "status" });
  readonly #entries = make("ul", "");
  readonly popup = make(
    "div",
    { className: "jllm-side-list", role: "dialog", ariaLabel: trans.__("Chats of this notebook") },
    ...[this.#field, this.#status, this.#entries],
  );
  readonly #choose: (chat: string, turn?: number) => void;
  #chats: NotebookChats | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(choose: (chat: string, turn?: number) => void) {
    this.#choose = choose;
    this.popup.addEventListener("keydown", (event) => this.#takeKey(event));
    openBeside(this.button, this.popup, (isOpen) => {
      if (!isOpen) return;
      this.#field.value = "";
      this.#field.focus();
      this.#ask();
    });
    this.#field.oninput = () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#ask(), PAUSE_MS);
    };
  }

  /** Say which chat of a notebook is shown. */
  show(chats: NotebookChats): void {
    if (chats !== this.#chats) this.popup.hidePopover();
    this.#chats = chats;
    this.button.textContent = chats.current;
    this.button.ariaLabel = trans.__("Chat of this notebook: %1", chats.current);
  }

  async #ask(): Promise<void> {
    const [chats, words] = [this.#chats, this.#field.value.trim()];
    const found = (await chats?.list(words).catch(() => null)) ?? []; // the side bar says why
    if (!chats || chats !== this.#chats || words !== this.#field.value.trim()) return;
    const named = chats.all.filter(({ name }) => isIn(name, words));
    this.#entries.replaceChildren(
      ...named.toSorted(byAge).map((chat) => this.#chat(chat)),
      ...found.map((one) => this.#found(one)),
    );
    const count = named.length + found.length;
    this.#status.textContent = words ? trans._n("%1 found", "%1 found", count) : "";
  }

  #chat({ name, title, num_turns: count, when }: Chat): HTMLElement {
    const turns = trans._n("%1 turn", "%1 turns", count);
    const note = when === null ? turns : trans.__("%1, %2", turns, date(when));
    return this.#entry(name, note, [title]);
  }

  #found({ chat, number, when, before, words, after }: Found): HTMLElement {
    return this.#entry(chat, date(when), [before, make("mark", "", words), after], number);
  }

  #entry(chat: string, note: string, text: (Node | string)[], turn?: number): HTMLElement {
    const parts = [make("strong", "", chat), make("small", "", note), make("span", "", ...text)];
    const isCurrent = turn === undefined && chat === this.#chats?.current;
    const ariaCurrent = isCurrent ? "true" : null;
    const entry = make("button", { type: "button", ariaCurrent }, ...parts);
    entry.onclick = () => {
      this.popup.hidePopover();
      this.#choose(chat, turn);
    };
    return make("li", "", entry);
  }

  #takeKey(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || event.isComposing) return;
    const stops: HTMLElement[] = [this.#field, ...this.#entries.querySelectorAll("button")];
    const at = stops.indexOf(document.activeElement as HTMLElement) + step;
    stops.at(at % stops.length)?.focus();
    event.preventDefault();
  }
}

function isIn(name: string, words: string): boolean {
  return name.toLocaleLowerCase().includes(words.toLocaleLowerCase());
}

/** Those that were begun just now come first, and then those that were talked in last. */
function byAge({ when: one }: Chat, { when: other }: Chat): number {
  return (other ?? Number.MAX_VALUE) - (one ?? Number.MAX_VALUE);
}

function date(when: number): string {
  const style = { dateStyle: "medium", timeStyle: "short" } as const;
  return new Date(1000 * when).toLocaleString(language(), style);
}
