/** What can be done with the code in an answer: copy it, and bring it into the notebook. */

import type { Checked, MessageOf, Origin } from "../connection/messages.js";
import { withVisibleControls } from "../dom/characters.js";
import { copyButton, flash, make, makeButton } from "../dom/elements.js";
import { asToolbar } from "../dom/toolbar.js";
import { trans } from "../dom/words.js";
import type { SendOptions, Store } from "../kernel/store.js";
import type { OnCodeBlock } from "../markdown/code_block.js";
import type { Notebook } from "../page/cells.js";
import { type Cell, checkLanded, type NewCell } from "../page/document.js";
import { diffView } from "./diff.js";
import { markNames, unmark } from "./marked_names.js";

/** What the parts of a panel share. */
export interface Surroundings {
  store: Store;
  notebook: Notebook | null;
  /** Tells a screen reader. */
  say: (text: string) => void;
  backToComposer: () => void;
  send: (text: string, options: SendOptions) => void;
}

/** Where code comes from and goes to. */
export type Place = Pick<Surroundings, "store" | "notebook" | "say"> & { origin: Origin };

/** What a fence calls code that a notebook's cell can hold. Small models often call it nothing. */
const PYTHON = new Set(["", "py", "py3", "python", "python3", "ipython"]);

type Prepared = Pick<MessageOf<"prepared">, "source" | "metadata" | "note">;

/** All the code in one answer. */
export class CodeActions {
  readonly #place: Place;
  readonly #answer: HTMLElement;
  readonly #blocks = new Map<Element, CodeBlockActions>();
  /** When it was asked what is known of the code, and to try it; another map for other code. */
  #askedAt = new Map<boolean, number>();

  /** The code is tried when somebody points at the finished answer, or goes there by key. */
  constructor(place: Place, answer: HTMLElement) {
    this.#place = place;
    this.#answer = answer;
    const look = () => answer.closest("[aria-busy='true']") ?? this.check(true);
    answer.addEventListener("pointerover", look);
    answer.addEventListener("focusin", look);
  }

  add({ toolbar, source, language }: Parameters<OnCodeBlock>[0]): void {
    const element = toolbar.closest(".jllm-code");
    if (!element) return;
    this.#blocks.get(element)?.dispose();
    const block = new CodeBlockActions(this.#place, element, source, language.toLowerCase());
    toolbar.replaceChildren(...block.buttons);
    asToolbar(toolbar, trans.__("Code")).update();
    this.#blocks.set(element, block);
    this.#askedAt = new Map();
  }

  /** The pieces of Python of an answer, in their order; beside them, what is unnamed is none. */
  #python(): CodeBlockActions[] {
    for (const [element, block] of this.#blocks) {
      if (this.#answer.contains(element)) continue;
      block.dispose();
      this.#blocks.delete(element);
    }
    const all = [...this.#answer.querySelectorAll(".jllm-code")].map((at) => this.#blocks.get(at));
    const python = all.filter((block) => block !== undefined).filter(({ isPython }) => isPython);
    const named = python.filter(({ language }) => language !== "");
    return named.length > 0 ? named : python;
  }

  get numPython(): number {
    return this.#python().length;
  }

  /**
   * Say what is known of the code, or have it tried, which may have to wait for others. Something
   * else may hold by now, so it is asked again after a while.
   */
  async check(tries = false): Promise<void> {
    const askedAt = this.#askedAt;
    const isDue = performance.now() - (askedAt.get(tries) ?? -Infinity) > 10_000;
    const blocks = isDue ? this.#python() : [];
    if (blocks.length === 0) return;
    askedAt.set(tries, tries ? Infinity : performance.now());
    const { store, origin } = this.#place;
    const sources = blocks.map(({ source }) => source);
    try {
      const { reply } = store.request({ type: "check", ...origin, sources, tries });
      const { results } = (await reply) as MessageOf<"checked">;
      blocks.forEach((block, index) => {
        block.mark(results[index]);
      });
      askedAt.set(tries, performance.now());
    } catch {
      // Code without marks is as good as before; the panel says what is wrong with the kernel.
      askedAt.delete(tries);
    }
  }

  /** Bring all Python of an answer into new cells, in its order. */
  async insertAll(): Promise<void> {
    const blocks = this.#python();
    const sources = blocks.map(({ source }) => source);
    const cells = await inserted(this.#place, sources);
    blocks.forEach((block, index) => {
      block.tellInserted(cells[index]?.note);
    });
  }

  dispose(): void {
    for (const block of this.#blocks.values()) block.dispose();
    this.#blocks.clear();
  }
}

/** The buttons of one piece of code, and what stands below it. */
class CodeBlockActions {
  readonly #place: Place;
  readonly #element: Element;
  readonly #below = make("div", "jllm-code-below");
  readonly #warning = make("p", "jllm-warning");
  readonly #replace = makeButton(trans.__("Replace cell"), () => this.#try(() => this.#offer()));
  readonly buttons: HTMLButtonElement[];

  constructor(
    place: Place,
    element: Element,
    readonly source: string,
    readonly language: string,
  ) {
    this.#place = place;
    this.#element = element;
    this.#warning.hidden = true;
    element.append(this.#warning, this.#below);
    const insert = makeButton(trans.__("Insert below"), () =>
      this.#try(() => this.#insert(insert)),
    );
    this.buttons = [copyButton(() => source, place.say)];
    if (this.isPython) this.buttons.push(insert);
    if (this.isPython && place.notebook) this.buttons.push(this.#replace);
  }

  get isPython(): boolean {
    return PYTHON.has(this.language);
  }

  /** Show what a check found, or what came of the code when it was tried. */
  mark(result: Checked | undefined): void {
    const { unknown_names: names = [], missing_modules: modules = [], note = "" } = result ?? {};
    const parts = [];
    if (names.length > 0) parts.push(notDefined(names));
    if (modules.length > 0) parts.push(trans.__("Not installed: %1.", modules.join(", ")));
    const text = note || parts.join(" ");
    this.#warning.replaceChildren(...worded(text));
    this.#warning.className = note ? "jllm-note" : "jllm-warning";
    this.#warning.hidden = text === "";
    const code = this.#element.querySelector("pre");
    if (code) markNames(code, [...names, ...modules]);
  }

  async #insert(button: HTMLButtonElement): Promise<void> {
    if (!this.#place.notebook) {
      this.#note(await landed(this.#place, this.source, false));
      return;
    }
    const [cell] = await inserted(this.#place, [this.source]);
    flash(button, trans.__("Inserted"));
    this.tellInserted(cell?.note);
  }

  /** Say what was mended in what was brought into a cell. */
  tellInserted(note = ""): void {
    if (note) this.#note(trans.__("Inserted; %1.", note));
  }

  /** Show what would change in the active cell. */
  async #offer(): Promise<void> {
    const { notebook } = this.#place;
    const cell = notebook?.activeCell();
    const number = (cell?.index ?? 0) + 1;
    if (!notebook || !cell) {
      this.#note(trans.__("Click into the cell first that the code is to replace."));
      return;
    }
    if (cell.type !== "code") {
      this.#note(trans.__("Cell %1 holds no code. Click into one that does.", number));
      return;
    }
    checkLanded(notebook.refusal(cell.id));
    const wanted = await prepared(this.#place, this.source);
    const back = (text: string) => {
      if (text) this.#note(text);
      else this.#below.replaceChildren();
      this.#replace.focus();
    };
    const accept = async (before: string) => {
      const changed = replaceCell(notebook, cell.id, before, wanted);
      if (changed) return changed;
      const { note } = wanted;
      if (note) back(trans.__("Cell %1 replaced; %2.", number, note));
      else back(trans.__("Cell %1 replaced.", number));
      return null;
    };
    const question = trans.__("Replace cell %1?", number);
    const offer = offerChange(question, cell.source, wanted.source, accept, () => back(""));
    this.#below.replaceChildren(offer);
    offer.querySelector("button")?.focus();
  }

  #note(text: string): void {
    this.#below.replaceChildren(make("p", "jllm-note", ...worded(text)));
    this.#place.say(text);
  }

  async #try(act: () => Promise<void>): Promise<void> {
    await act().catch((error: unknown) => this.#note(messageOf(error)));
  }

  dispose(): void {
    const code = this.#element.querySelector("pre");
    if (code) unmark(code);
  }
}

/** What is said of names that stand nowhere, in a text for `worded`. */
export function notDefined(names: readonly string[]): string {
  return trans.__("Not defined: %1.", names.join(", "));
}

/** A text in which what stands in backticks is code, or a key. */
export function worded(text: string, tag: "code" | "kbd" = "code"): (Node | string)[] {
  const parts = withVisibleControls(text).split("`");
  return parts.map((part, index) => (index % 2 ? make(tag, "", part) : part));
}

/** Code as its cell is to hold it. */
export async function prepared({ store, origin }: Place, source: string): Promise<Prepared> {
  const { reply } = store.request({ type: "prepare", ...origin, source });
  const { source: whole, metadata, note } = (await reply) as MessageOf<"prepared">;
  return { source: whole, metadata, note };
}

/** Bring code into new cells below the active one; fails in words if that cannot be. */
export async function inserted(place: Place, sources: readonly string[]): Promise<Prepared[]> {
  const { notebook, say } = place;
  const anchor = notebook?.anchor ?? null; // the user may be elsewhere once the code is there
  const cells = await Promise.all(sources.map((source) => prepared(place, source)));
  checkLanded(notebook?.insertBelow(cells, anchor) ?? null);
  say(trans._n("Cell inserted", "%1 cells inserted", cells.length));
  return cells;
}

/** Replace a cell that reads as `before`, or return what it is now; fails in words as well. */
export function replaceCell(
  notebook: Notebook,
  id: string,
  before: string,
  wanted: NewCell,
): Cell | null {
  const refusal = notebook.replace(id, wanted, before);
  if (refusal === "changed") return notebook.cell(id);
  checkLanded(refusal);
  return null;
}

/** Let the kernel bring code into the notebook, and return where it is. */
export async function landed(
  { store, origin }: Place,
  source: string,
  isInPlace: boolean,
): Promise<string> {
  const { reply } = store.request({ type: "land", ...origin, source, in_place: isInPlace });
  return ((await reply) as { text: string }).text;
}

/**
 * Show a change that can be accepted or rejected. `accept` may return the cell as it is now instead:
 * then it is shown what would change there. What goes wrong is said beside the buttons.
 */
export function offerChange(
  title: string,
  before: string,
  after: string,
  accept: (before: string) => Promise<Cell | null>,
  reject: () => void,
): HTMLElement {
  const problem = make("span", "jllm-problem");
  problem.setAttribute("role", "alert");
  let isAccepted = false; // a second click must not bring in the code a second time
  const take = async () => {
    if (isAccepted) return;
    isAccepted = true;
    problem.textContent = "";
    try {
      const changed = await accept(before);
      if (!changed) return;
      const number = changed.index + 1;
      const question = trans.__("Cell %1 has changed meanwhile. Replace it?", number);
      const again = offerChange(question, changed.source, after, accept, reject);
      offer.replaceWith(again);
      again.querySelector("button")?.focus();
    } catch (error) {
      isAccepted = false;
      problem.textContent = messageOf(error);
    }
  };
  const main = { isPlain: false, className: "jllm-main-button" };
  const yes = makeButton(trans.__("Accept"), take, main);
  const no = makeButton(trans.__("Reject"), reject, { isPlain: false });
  const shown =
    before === after
      ? make("p", "jllm-note", trans.__("Nothing would change."))
      : diffView(before, after);
  const offer = make(
    "div",
    "jllm-offer",
    make("p", "jllm-offer-title", title),
    shown,
    make("div", "jllm-offer-buttons", yes, no, problem),
  );
  offer.setAttribute("role", "group");
  offer.setAttribute("aria-label", title);
  return offer;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
