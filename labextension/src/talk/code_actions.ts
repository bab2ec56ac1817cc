/** The buttons of code in an answer: copy it, and put it into the notebook. */

import type { Checked, Origin, Prepared, Proposal } from "../connection/messages.js";
import { withVisibleControls } from "../dom/characters.js";
import { copyButton, flash, make, makeButton } from "../dom/elements.js";
import { asToolbar } from "../dom/toolbar.js";
import { listed, trans } from "../dom/words.js";
import type { SendOptions, Store } from "../kernel/store.js";
import type { OnCodeBlock } from "../markdown/code_block.js";
import type { Notebook } from "../page/cells.js";
import { checkLanded } from "../page/document.js";
import { markNames, unmark } from "./marked_names.js";

/** The objects that the parts of a panel share. */
export interface Surroundings {
  store: Store;
  notebook: Notebook | null;
  /** Tells a screen reader. */
  say: (text: string) => void;
  backToComposer: () => void;
  send: (text: string, options: SendOptions) => void;
}

/** The source and the target of code. */
export type Place = Pick<Surroundings, "store" | "notebook" | "say"> & { origin: Origin };

/** The languages of fences whose code a cell can hold. Small models often name no language. */
const PYTHON = new Set(["", "py", "py3", "python", "python3", "ipython"]);

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
    element.append(...block.below);
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
      const results = await store.call("check", { origin, sources, tries });
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

/** The buttons of one piece of code, and what there is to say below it. */
export class CodeBlockActions {
  readonly #place: Place;
  readonly #element: Element;
  readonly #note = make("div", "jllm-code-below");
  readonly #warning = make("p", "jllm-warning");
  #unknown: string[] = [];
  readonly buttons: HTMLButtonElement[];
  readonly below = [this.#warning, this.#note];

  /** `canReplace`: the code is for a cell, which is replaced without a notebook, too. */
  constructor(
    place: Place,
    element: Element,
    readonly source: string,
    readonly language: string,
    canReplace = place.notebook !== null,
  ) {
    this.#place = place;
    this.#element = element;
    this.#warning.hidden = true;
    const button = (label: string, icon: string, act: () => Promise<void>) =>
      makeButton(label, () => this.#try(act), { icon });
    const insert = button(trans.__("Insert below"), "insert", () => this.#insert(insert));
    const replace = button(trans.__("Replace cell"), "replace", () => this.#replace());
    this.buttons = [copyButton(() => source, place.say)];
    if (this.isPython) this.buttons.push(insert);
    if (this.isPython && canReplace) this.buttons.push(replace);
  }

  get isPython(): boolean {
    return PYTHON.has(this.language);
  }

  /** Show what a check found, or what came of the code when it was tried. */
  mark(result: Checked | undefined): void {
    const { unknown_names: names = [], missing_modules: modules = [], note = "" } = result ?? {};
    this.#unknown = names;
    const parts = [];
    if (names.length > 0) parts.push(trans.__("Not defined: %1.", listed(names)));
    if (modules.length > 0) parts.push(trans.__("Not installed: %1.", listed(modules)));
    const text = note || parts.join(" ");
    this.#warning.replaceChildren(...worded(text));
    this.#warning.className = note ? "jllm-note" : "jllm-warning";
    this.#warning.hidden = text === "";
    const code = this.#element.querySelector("pre");
    if (code) markNames(code, [...names, ...modules]);
  }

  async #insert(button: HTMLButtonElement): Promise<void> {
    if (!this.#place.notebook) return this.#land(false);
    const [cell] = await inserted(this.#place, [this.source]);
    flash(button, trans.__("Inserted"));
    this.tellInserted(cell?.note);
  }

  /** Say what was mended in what was brought into a cell. */
  tellInserted(note = ""): void {
    if (note) this.#say(trans.__("Inserted; %1.", note));
  }

  /** Propose it in the active cell. */
  async #replace(): Promise<void> {
    const { notebook } = this.#place;
    if (!notebook) return this.#land(true);
    const cell = notebook.activeCell();
    if (!cell) {
      this.#say(trans.__("Click into the cell first that the code is to replace."));
      return;
    }
    if (cell.type !== "code") {
      const number = cell.index + 1;
      this.#say(trans.__("Cell %1 holds no code. Click into one that does.", number));
      return;
    }
    checkLanded(notebook.refusal(cell.id));
    const [{ id, source: before }, { source }] = [cell, this];
    const change = { cell: id, before, source, unknown_names: this.#unknown, runs: [] };
    this.#say(await showInCell(this.#place, change));
  }

  /** Have the kernel insert the code, and say where. */
  async #land(isInPlace: boolean): Promise<void> {
    const { store, origin } = this.#place;
    this.#say(await store.call("land", { origin, source: this.source, in_place: isInPlace }));
  }

  #say(text: string): void {
    this.#note.replaceChildren(make("p", "jllm-note", ...worded(text)));
    this.#place.say(text);
  }

  async #try(act: () => Promise<void>): Promise<void> {
    await act().catch((error: unknown) => this.#say(messageOf(error)));
  }

  dispose(): void {
    const code = this.#element.querySelector("pre");
    if (code) unmark(code);
  }
}

/** A text in which what stands in backticks is code, or a key. */
export function worded(text: string, tag: "code" | "kbd" = "code"): (Node | string)[] {
  const parts = withVisibleControls(text).split("`");
  return parts.map((part, index) => (index % 2 ? make(tag, "", part) : part));
}

/** Bring code into new cells below the active one; fails in words if that cannot be. */
async function inserted(place: Place, sources: readonly string[]): Promise<Prepared[]> {
  const { store, notebook, origin, say } = place;
  const anchor = notebook?.anchor ?? null; // the user may be elsewhere once the code is there
  const cells = await Promise.all(
    sources.map((source) => store.call("prepare", { origin, source })),
  );
  checkLanded(notebook?.insertBelow(cells, anchor) ?? null);
  say(trans._n("Cell inserted", "%1 cells inserted", cells.length));
  return cells;
}

/** Show a change in its cell, and return the place in words; fails in words. */
export async function showInCell(place: Place, change: Proposal, markdown = ""): Promise<string> {
  const { store, notebook, origin } = place;
  const { source } = change;
  const isRun = source === change.before; // the code stays as it is
  const made = isRun ? null : await store.call("prepare", { origin, source });
  const { note = markdown, ...code } = made ?? { source, metadata: {} };
  await notebook?.propose({ ...change, ...code, markdown: note });
  const number = (notebook?.cell(change.cell ?? "")?.index ?? 0) + 1;
  return trans.__("The proposal is shown in cell %1. Decide about it there.", number);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
