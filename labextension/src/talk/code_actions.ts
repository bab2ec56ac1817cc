/** What can be done with the code in an answer: copy it, and bring it into the notebook. */

import type { Checked, MessageOf, Origin } from "../connection/messages.js";
import { withVisibleControls } from "../dom/characters.js";
import { copyText, flash, make, makeButton } from "../dom/elements.js";
import { asToolbar } from "../dom/toolbar.js";
import { trans } from "../dom/words.js";
import type { Store } from "../kernel/store.js";
import type { OnCodeBlock } from "../markdown/code_block.js";
import type { Notebook } from "../page/cells.js";
import { type Cell, checkLanded, type NewCell } from "../page/document.js";
import { diffView } from "./diff.js";
import { markNames, unmark } from "./marked_names.js";

/** Where code comes from and goes to. */
export interface Place {
  store: Store;
  notebook: Notebook | null;
  /** Tells a screen reader. */
  say: (text: string) => void;
  origin: Origin;
}

/** What a fence calls code that a notebook's cell can hold. Small models often call it nothing. */
const PYTHON = new Set(["", "py", "py3", "python", "python3", "ipython"]);

type Prepared = Pick<MessageOf<"prepared">, "source" | "metadata" | "note">;

/** All the code in one answer. */
export class CodeActions {
  readonly #place: Place;
  readonly #blocks = new Map<Element, CodeBlockActions>();
  /** When it was asked what is known of the code, and to try it. */
  readonly #askedAt = new Map<boolean, number>();

  constructor(place: Place) {
    this.#place = place;
  }

  readonly onCodeBlock: OnCodeBlock = ({ toolbar, source, language }) => {
    const element = toolbar.closest(".jllm-code");
    if (!element) return;
    this.#blocks.get(element)?.dispose();
    this.#blocks.set(
      element,
      new CodeBlockActions(this.#place, element, toolbar, source, language.toLowerCase()),
    );
    this.#askedAt.clear();
  };

  /** The pieces of Python of an answer, in their order; beside them, what is unnamed is none. */
  #python(answer: HTMLElement): CodeBlockActions[] {
    for (const [element, block] of this.#blocks) {
      if (answer.contains(element)) continue;
      block.dispose();
      this.#blocks.delete(element);
    }
    const all = [...answer.querySelectorAll(".jllm-code")].map((at) => this.#blocks.get(at));
    const python = all.filter((block) => block !== undefined).filter(({ isPython }) => isPython);
    const named = python.filter(({ language }) => language !== "");
    return named.length > 0 ? named : python;
  }

  numPython(answer: HTMLElement): number {
    return this.#python(answer).length;
  }

  /** Have the code tried when somebody points at a finished answer, or goes there by key. */
  watch(answer: HTMLElement): void {
    const look = () => answer.closest("[aria-busy='true']") ?? this.check(answer, true);
    answer.addEventListener("pointerover", look);
    answer.addEventListener("focusin", look);
  }

  /**
   * Say what is known of the code, or have it tried, which may have to wait for others. Something
   * else may hold by now, so it is asked again after a while.
   */
  async check(answer: HTMLElement, tries = false): Promise<void> {
    const isDue = performance.now() - (this.#askedAt.get(tries) ?? -Infinity) > 10_000;
    const blocks = isDue ? this.#python(answer) : [];
    if (blocks.length === 0) return;
    this.#askedAt.set(tries, tries ? Infinity : performance.now());
    const { store, origin } = this.#place;
    const sources = blocks.map(({ source }) => source);
    try {
      const { reply } = store.request({ type: "check", ...origin, sources, tries });
      const { results } = (await reply) as MessageOf<"checked">;
      blocks.forEach((block, index) => {
        block.mark(results[index]);
      });
      this.#askedAt.set(tries, performance.now());
    } catch {
      // Code without marks is as good as before; the panel says what is wrong with the kernel.
      this.#askedAt.delete(tries);
    }
  }

  /** Bring all Python of an answer into new cells, in its order. */
  async insertAll(answer: HTMLElement): Promise<void> {
    const { notebook } = this.#place;
    const blocks = this.#python(answer);
    if (!notebook) return;
    const { anchor } = notebook; // the user may be elsewhere once the code is there
    const cells = await Promise.all(blocks.map(({ source }) => prepared(this.#place, source)));
    checkLanded(notebook.insertBelow(cells, anchor));
    this.#place.say(`${cells.length} cells inserted`);
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
  readonly #replace = makeButton("Replace cell", () => this.#try(() => this.#offer()));

  constructor(
    place: Place,
    element: Element,
    toolbar: HTMLElement,
    readonly source: string,
    readonly language: string,
  ) {
    const isPython = this.isPython;
    this.#place = place;
    this.#element = element;
    this.#warning.hidden = true;
    element.append(this.#warning, this.#below);
    const copy = makeButton("Copy", async () => {
      const isCopied = await copyText(source);
      flash(copy, isCopied ? "Copied" : "Not copied");
      place.say(isCopied ? "Copied" : "Not copied");
    });
    const buttons = [copy];
    if (isPython) {
      const insert = makeButton("Insert below", () => this.#try(() => this.#insert(insert)));
      buttons.push(insert);
    }
    if (isPython && place.notebook) buttons.push(this.#replace);
    toolbar.replaceChildren(...buttons);
    asToolbar(toolbar, "Code").update();
  }

  get isPython(): boolean {
    return PYTHON.has(this.language);
  }

  /** Show what a check found, or what came of the code when it was tried. */
  mark(result: Checked | undefined): void {
    const { unknown_names: names = [], missing_modules: modules = [], note = "" } = result ?? {};
    const parts = [];
    if (names.length > 0) parts.push(`Not defined: ${names.join(", ")}.`);
    if (modules.length > 0) parts.push(`Not installed: ${modules.join(", ")}.`);
    const text = note || parts.join(" ");
    this.#warning.replaceChildren(...worded(text));
    this.#warning.className = note ? "jllm-note" : "jllm-warning";
    this.#warning.hidden = text === "";
    const code = this.#element.querySelector("pre");
    if (code) markNames(code, [...names, ...modules]);
  }

  async #insert(button: HTMLButtonElement): Promise<void> {
    const { notebook, say } = this.#place;
    if (notebook) {
      const { anchor } = notebook;
      const cell = await prepared(this.#place, this.source);
      checkLanded(notebook.insertBelow([cell], anchor));
      flash(button, "Inserted");
      say("Cell inserted");
      if (cell.note) this.#note(trans.__("Inserted; %1.", cell.note));
    } else this.#note(await landed(this.#place, this.source, false));
  }

  /** Show what would change in the active cell. */
  async #offer(): Promise<void> {
    const { notebook } = this.#place;
    const cell = notebook?.activeCell();
    if (!notebook || !cell) {
      this.#note("Click into the cell first that the code is to replace.");
      return;
    }
    if (cell.type !== "code") {
      this.#note(`Cell ${cell.index + 1} holds no code. Click into one that does.`);
      return;
    }
    checkLanded(notebook.refusal(cell.id));
    const wanted = await prepared(this.#place, this.source);
    this.#propose(notebook, cell, wanted, `Replace cell ${cell.index + 1}?`);
  }

  /** Ask whether a cell, as it is now, is to become what is wanted. */
  #propose(notebook: Notebook, cell: Cell, wanted: Prepared, question: string): void {
    const back = (text: string) => {
      if (text) this.#note(text);
      else this.#below.replaceChildren();
      this.#replace.focus();
    };
    const accept = async () => {
      const changed = replaceCell(notebook, cell, wanted);
      if (changed) {
        const name = `Cell ${changed.index + 1}`;
        this.#propose(notebook, changed, wanted, `${name} has changed meanwhile. Replace it?`);
        return;
      }
      const number = cell.index + 1;
      const { note } = wanted;
      back(
        note
          ? trans.__("Cell %1 replaced; %2.", number, note)
          : trans.__("Cell %1 replaced.", number),
      );
    };
    const offer = offerChange(cell.source, wanted.source, accept, () => back(""));
    offer.prepend(make("p", "jllm-offer-title", question));
    offer.setAttribute("aria-label", question);
    this.#below.replaceChildren(offer);
    offer.querySelector("button")?.focus();
  }

  #note(text: string): void {
    this.#below.replaceChildren(make("p", "jllm-note", ...worded(text)));
    this.#place.say(text);
  }

  async #try(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.#note(messageOf(error));
    }
  }

  dispose(): void {
    const code = this.#element.querySelector("pre");
    if (code) unmark(code);
  }
}

/** What the kernel says, with names in backticks as code. */
function worded(text: string): (Node | string)[] {
  const parts = withVisibleControls(text).split("`");
  return parts.map((part, index) => (index % 2 ? make("code", "", part) : part));
}

/** Code as its cell is to hold it. */
export async function prepared({ store, origin }: Place, source: string): Promise<Prepared> {
  const { reply } = store.request({ type: "prepare", ...origin, source });
  const { source: whole, metadata, note } = (await reply) as MessageOf<"prepared">;
  return { source: whole, metadata, note };
}

/** Replace a cell that is as it was, or return what it is now; fails in words if that cannot be. */
export function replaceCell(
  notebook: Notebook,
  { id, source: before }: Pick<Cell, "id" | "source">,
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

/** Show a change that can be accepted or rejected. What goes wrong is said beside the buttons. */
export function offerChange(
  before: string,
  after: string,
  accept: () => Promise<void>,
  reject: () => void,
): HTMLElement {
  const problem = make("span", "jllm-problem");
  problem.setAttribute("role", "alert");
  let isAccepted = false; // a second click must not bring in the code a second time
  const yes = makeButton(
    "Accept",
    async () => {
      if (isAccepted) return;
      isAccepted = true;
      try {
        problem.textContent = "";
        await accept();
      } catch (error) {
        isAccepted = false;
        problem.textContent = messageOf(error);
      }
    },
    { isPlain: false, className: "jllm-main-button" },
  );
  const no = makeButton("Reject", reject, { isPlain: false });
  const buttons = make("div", "jllm-offer-buttons", yes, no, problem);
  const shown =
    before === after ? make("p", "jllm-note", "Nothing would change.") : diffView(before, after);
  const offer = make("div", "jllm-offer", shown, buttons);
  offer.setAttribute("role", "group");
  return offer;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
