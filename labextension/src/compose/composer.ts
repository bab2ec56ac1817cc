/** Where prompts are written. */

import type { Attachment } from "../connection/messages.js";
import { withVisibleControls } from "../dom/characters.js";
import { make, makeButton } from "../dom/elements.js";
import { trans } from "../dom/words.js";
import type { SendOptions, Store } from "../kernel/store.js";
import type { Notebook } from "../page/cells.js";
import { Chips } from "./chips.js";
import { Drafting } from "./drafting.js";
import { takeDrops } from "./drops.js";
import { Recall } from "./recall.js";
import { Suggestions } from "./suggestions.js";
import { Unsent } from "./unsent.js";

export type Composer = ReturnType<typeof createComposer>;

/** What so many prompts had attached is kept, should they come back without an answer. */
const MOST_SENT = 20;

/** The command that hides the rules of the project, until `/show` includes them again. */
const HIDE_RULES = "/hide .jupyter_llm.md";

/** Make the field for the next prompt of a chat. */
export function createComposer(store: Store, notebook: Notebook | null) {
  const textarea = makeTextarea();
  const suggestions = new Suggestions(textarea, store, () => notebook?.openNotebooks ?? []);
  const recall = new Recall(() => store.history());
  const unsent = new Unsent(() => notebook?.place ?? null);
  const chips = new Chips(
    (hadFocus) => {
      if (hadFocus) textarea.focus();
      drafting.changed(false);
    },
    () => sendNow(HIDE_RULES, {}),
  );
  const drafting = new Drafting(
    () => ({ text: textarea.value, along: chips.along }),
    ({ text, along }) => store.draft(text, along),
  );
  /** What was attached to what was sent from here, by its id. */
  const sent = new Map<string, readonly Attachment[]>();
  /** And to what came back and found no room, by its text. */
  const waiting = new Map<string, readonly Attachment[]>();
  const hint = make("span", "jllm-composer-hint");
  hint.setAttribute("role", "status");
  const send = makeButton(trans.__("Send"), sendText, { className: "jllm-send" });
  const element = make(
    "div",
    "jllm-composer",
    chips.element,
    make("div", "jllm-composer-box", suggestions.element, textarea),
    make("div", "jllm-composer-actions", ...attachButtons(notebook, takeAttachment), hint, send),
  );
  if (!notebook) {
    // As in VS Code and Colab.
    const text = trans.__(
      "The cells of this page are out of reach: none can be attached or replaced, and code lands below the next cell that you run.",
    );
    element.append(make("p", "jllm-out-of-reach", text));
  }

  function setText(text: string): void {
    textarea.value = text;
    textarea.setSelectionRange(text.length, text.length);
    textChanged();
  }

  function textChanged(): void {
    hint.textContent = "";
    send.disabled = !textarea.value.trim();
    fit(textarea);
    drafting.changed();
    unsent.keep(textarea.value);
  }

  /** Have here again what was typed before the page was loaded again. */
  function restore(): void {
    const { chat, connection } = store.state;
    const text = chat.name && connection === "ready" ? unsent.follow(chat.name) : "";
    if (text) setText(text);
  }

  function sendText(): void {
    const text = textarea.value;
    if (!text.trim()) return;
    suggestions.close();
    recall.reset();
    setText("");
    sendNow(text, chips.takeAll());
    drafting.sent();
    textarea.focus();
  }

  function sendNow(text: string, options: SendOptions): void {
    const by = notebook?.writer ?? "";
    sent.set(store.send(text, { ...options, by }), options.attachments ?? []);
    for (const id of [...sent.keys()].slice(0, -MOST_SENT)) sent.delete(id);
  }

  /**
   * Have here again what was sent from here and came to nothing. What finds no room in the field,
   * since something else is being written, comes back with Up.
   */
  function takeBack(): void {
    for (const { id, text } of store.state.returned) {
      const attachments = sent.get(id) ?? [];
      if (!sent.delete(id)) continue;
      waiting.set(text, attachments);
      if (textarea.value) continue;
      bring(text);
      hint.textContent = trans.__("Not answered. Here it is again.");
      if (element.parentElement?.contains(document.activeElement)) textarea.focus();
    }
  }

  /** Have an earlier prompt here, with what it had attached if that came back with it. */
  function bring(text: string): void {
    setText(text);
    for (const attachment of waiting.get(text) ?? []) chips.add(attachment);
    waiting.delete(text);
  }

  /** Take something along, or say why there is none. */
  function takeAttachment(found: Attachment | string): void {
    hint.textContent = typeof found === "string" ? withVisibleControls(found) : "";
    if (typeof found !== "string") chips.add(found);
    textarea.focus();
    if (typeof found === "string" || found.text !== null) return;
    const { label: name } = found;
    const say = (line: string) => {
      if (chips.along.attachments.includes(found)) hint.append(`${withVisibleControls(line)} `);
    };
    store.call("describe", { kind: "file", name }).then(
      (text) => say(`${name}: ${text.split("\n", 1)[0]}`), // its size, and how much is read of it
      ({ message }: Error) => {
        say(message);
        chips.remove(found);
      },
    );
  }

  /** Do what a key means here. False if the browser is to do what it does in any text. */
  function takeKey(event: KeyboardEvent): boolean {
    const hasModifier = event.ctrlKey || event.metaKey || event.altKey;
    if (!hasModifier && suggestions.takeKey(event)) return true;
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) sendText();
    else if (hasModifier || event.shiftKey) return false;
    else if (event.key === "Escape" && store.stopOwn(notebook?.isShared ?? false)) return true;
    else {
      const other = recall.textFor(event, textarea);
      if (other === null) return false;
      bring(other);
    }
    return true;
  }

  textarea.addEventListener("keydown", (event) => {
    // While an input method composes a character, its keys are its own.
    if (!event.isComposing && event.keyCode !== 229 && takeKey(event)) event.preventDefault();
  });
  textarea.addEventListener("input", () => {
    recall.reset();
    textChanged();
    suggestions.ask();
  });
  textarea.addEventListener("blur", () => suggestions.close());
  takeDrops(element, notebook, takeAttachment);
  let frame = 0;
  const offer = () => {
    cancelAnimationFrame(frame); // it may come with each key in a cell
    frame = requestAnimationFrame(() => {
      if (notebook && element.checkVisibility()) chips.offer(notebook.atHand());
    });
  };
  textarea.addEventListener("focus", offer);
  const endOffers = notebook?.onActiveCellChanged(offer);
  const unsubscribe = store.subscribe((changed) => {
    if (changed.has("connection") || changed.has("name")) restore();
    if (changed.has("returned")) takeBack();
    if (!changed.has("status")) return;
    const { status } = store.state.chat;
    chips.tell(notebook?.isBeside ? status : { ...status, num_cells: 0 });
  });
  textChanged();
  restore();
  offer();
  return {
    element,
    focus: () => textarea.focus(),
    /** As if it were typed here. */
    send: sendNow,
    /** Have something go along with the next prompt. */
    attach: takeAttachment,
    dispose() {
      cancelAnimationFrame(frame);
      unsubscribe();
      endOffers?.();
      suggestions.close();
      drafting.dispose();
    },
  };
}

function makeTextarea(): HTMLTextAreaElement {
  const textarea = make("textarea", "");
  Object.assign(textarea, { rows: 1, dir: "auto", spellcheck: false, autocomplete: "off" });
  textarea.placeholder = trans.__("Ask, / for commands, @ for variables, cells and files");
  textarea.setAttribute("aria-label", trans.__("Message"));
  // The browser's own menu, with Paste, in the place of the notebook's.
  textarea.dataset.jpSuppressContextMenu = "true";
  return textarea;
}

/** Make room for all lines, as far as the style sheet lets it. */
function fit(textarea: HTMLTextAreaElement): void {
  if (CSS.supports("field-sizing", "content")) return; // the style sheet does it
  textarea.style.height = "auto";
  textarea.style.height = `${textarea.scrollHeight}px`;
}

function attachButtons(
  notebook: Notebook | null,
  onAttach: (found: Attachment | string) => void,
): HTMLButtonElement[] {
  if (!notebook) return [];
  const button = (label: string, icon: string, find: () => Attachment | string) => {
    const made = makeButton(label, () => onAttach(find()), { icon });
    const tell = () => {
      const found = find();
      made.title = typeof found === "string" ? label : trans.__("Attach %1", found.label);
    };
    // Cells run and get numbers meanwhile, so this is looked up when it is about to be read.
    made.addEventListener("pointerenter", tell);
    made.addEventListener("focus", tell);
    return made;
  };
  return [
    button(trans.__("Attach cell"), "cell", () => notebook.attachCell()),
    button(trans.__("Attach output"), "output", () => notebook.attachOutput()),
    makeButton(
      trans.__("Attach file…"),
      async () => {
        for (const file of await notebook.chooseFiles()) onAttach(file);
      },
      { icon: "file" },
    ),
  ];
}
