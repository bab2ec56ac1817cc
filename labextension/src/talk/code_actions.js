/** What can be done with the code in an answer: copy it, and bring it into the notebook. */

import { copyText, flash, make, makeButton } from "../dom/elements.js";
import { asToolbar } from "../dom/toolbar.js";
import { diffView } from "./diff.js";
import { markNames, unmark } from "./marked_names.js";

/**
 * @import { OnCodeBlock } from "../markdown/code_block.js"
 * @import { Cell, Notebook } from "../page/cells.js"
 * @import { ChatMessageOf, Checked } from "../connection/messages.js"
 * @import { Store } from "../kernel/store.js"
 */

/**
 * Where code comes from and goes to. `origin` is the turn or the notice it stands in.
 *
 * @typedef {object} Place
 * @property {Store} store
 * @property {Notebook | null} notebook
 * @property {(text: string) => void} say  Tells a screen reader.
 * @property {{ number: number | null, notice: string | null }} origin
 */

/** What a fence calls code that a notebook's cell can hold. Small models often call it nothing. */
const PYTHON = new Set(["", "py", "py3", "python", "python3", "ipython"]);

/** All the code in one answer. */
export class CodeActions {
  #place;
  /** @type {Map<Element, CodeBlockActions>} */
  #blocks = new Map();
  #checkedAt = Number.NEGATIVE_INFINITY;

  /**
   * @param {Place} place
   */
  constructor(place) {
    this.#place = place;
  }

  /** @type {OnCodeBlock} */
  onCodeBlock = ({ toolbar, source, language }) => {
    const element = toolbar.closest(".jllm-code");
    if (!element) return;
    const isPython = PYTHON.has(language.toLowerCase());
    this.#blocks.get(element)?.dispose();
    this.#blocks.set(
      element,
      new CodeBlockActions(this.#place, element, toolbar, source, isPython),
    );
    this.#checkedAt = Number.NEGATIVE_INFINITY;
  };

  /**
   * Return the pieces of Python of an answer, in their order.
   *
   * @param {HTMLElement} answer
   * @returns {CodeBlockActions[]}
   */
  #python(answer) {
    for (const [element, block] of this.#blocks) {
      if (answer.contains(element)) continue;
      block.dispose();
      this.#blocks.delete(element);
    }
    const all = [...answer.querySelectorAll(".jllm-code")].map((at) => this.#blocks.get(at));
    return all
      .filter((block) => block?.isPython)
      .map((block) => /** @type {CodeBlockActions} */ (block));
  }

  /**
   * @param {HTMLElement} answer
   * @returns {number}
   */
  numPython(answer) {
    return this.#python(answer).length;
  }

  /**
   * Mark the names that do not exist. They may by now, so it is asked again after a while.
   *
   * @param {HTMLElement} answer
   */
  async check(answer) {
    const blocks = this.#python(answer);
    if (blocks.length === 0 || performance.now() - this.#checkedAt < 10_000) return;
    this.#checkedAt = performance.now();
    const sources = blocks.map(({ source }) => source);
    try {
      const { reply } = this.#place.store.request({ type: "check", sources });
      const { results } = /** @type {ChatMessageOf<"checked">} */ (await reply);
      blocks.forEach((block, index) => {
        block.mark(results[index]);
      });
    } catch {
      // Code without marks is as good as before; the panel says what is wrong with the kernel.
      this.#checkedAt = Number.NEGATIVE_INFINITY;
    }
  }

  /**
   * Bring all Python of an answer into new cells, in its order.
   *
   * @param {HTMLElement} answer
   */
  async insertAll(answer) {
    const { notebook } = this.#place;
    const blocks = this.#python(answer);
    const anchor = notebook?.activeCell()?.id; // they may be elsewhere once the code is there
    const cells = await Promise.all(blocks.map(({ source }) => prepared(this.#place, source)));
    await notebook?.insertBelow(cells, anchor);
    this.#place.say(`${cells.length} cells inserted`);
  }

  dispose() {
    for (const block of this.#blocks.values()) block.dispose();
    this.#blocks.clear();
  }
}

/** The buttons of one piece of code, and what stands below it. */
class CodeBlockActions {
  #place;
  #element;
  #below = make("div", "jllm-code-below");
  #warning = make("p", "jllm-warning");
  #replace = makeButton("Replace cell", () => this.#try(() => this.#offer()));

  /**
   * @param {Place} place
   * @param {Element} element
   * @param {HTMLElement} toolbar
   * @param {string} source
   * @param {boolean} isPython
   */
  constructor(place, element, toolbar, source, isPython) {
    this.#place = place;
    this.#element = element;
    this.source = source;
    this.isPython = isPython;
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

  /**
   * Show what a check found.
   *
   * @param {Checked | undefined} result
   */
  mark(result) {
    const { unknown_names: names = [], missing_modules: modules = [] } = result ?? {};
    const parts = [];
    if (names.length > 0) parts.push(`Not defined: ${names.join(", ")}.`);
    if (modules.length > 0) parts.push(`Not installed: ${modules.join(", ")}.`);
    this.#warning.textContent = parts.join(" ");
    this.#warning.hidden = parts.length === 0;
    const code = this.#element.querySelector("pre");
    if (code) markNames(code, [...names, ...modules]);
  }

  /**
   * @param {HTMLButtonElement} button
   */
  async #insert(button) {
    const { notebook, say } = this.#place;
    if (notebook) {
      const anchor = notebook.activeCell()?.id;
      await notebook.insertBelow([await prepared(this.#place, this.source)], anchor);
      flash(button, "Inserted");
      say("Cell inserted");
    } else this.#note(await landed(this.#place, this.source, false));
  }

  /** Show what would change in the active cell. */
  async #offer() {
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
    const wanted = await prepared(this.#place, this.source);
    this.#propose(notebook, cell, wanted, `Replace cell ${cell.index + 1}?`);
  }

  /**
   * Ask whether a cell, as it is now, is to become what is wanted.
   *
   * @param {Notebook} notebook
   * @param {Cell} cell
   * @param {{ source: string, metadata: Record<string, unknown> }} wanted
   * @param {string} question
   */
  #propose(notebook, cell, wanted, question) {
    const accept = async () => {
      const changed = changedCell(notebook, cell.id, cell.source);
      if (changed) {
        const name = `Cell ${changed.index + 1}`;
        this.#propose(notebook, changed, wanted, `${name} has changed meanwhile. Replace it?`);
        return;
      }
      replaceCell(notebook, cell.id, wanted);
      this.#note(`Cell ${cell.index + 1} replaced.`);
      this.#replace.focus();
    };
    const reject = () => {
      this.#below.replaceChildren();
      this.#replace.focus();
    };
    const offer = offerChange(cell.source, wanted.source, question, { accept, reject });
    this.#below.replaceChildren(offer);
    this.#below.querySelector("button")?.focus();
  }

  /**
   * @param {string} text
   */
  #note(text) {
    this.#below.replaceChildren(make("p", "jllm-note", text));
    this.#place.say(text);
  }

  /**
   * @param {() => Promise<void>} act
   */
  async #try(act) {
    try {
      await act();
    } catch (error) {
      this.#note(messageOf(error));
    }
  }

  dispose() {
    const code = this.#element.querySelector("pre");
    if (code) unmark(code);
  }
}

/**
 * Return code as its cell is to hold it.
 *
 * @param {Place} place
 * @param {string} source
 * @returns {Promise<{ source: string, metadata: Record<string, unknown> }>}
 */
export async function prepared({ store, origin }, source) {
  const { reply } = store.request({ type: "prepare", ...origin, source });
  const answer = /** @type {ChatMessageOf<"prepared">} */ (await reply);
  return { source: answer.source, metadata: answer.metadata };
}

/**
 * Return a cell as it is now if it is there and is another than it was, but for blanks at its end.
 *
 * @param {Notebook} notebook
 * @param {string} id
 * @param {string} before
 * @returns {Cell | null}
 */
export function changedCell(notebook, id, before) {
  const cell = notebook.cell(id);
  return cell && cell.source.trimEnd() !== before.trimEnd() ? cell : null;
}

/**
 * Put code into a cell, or say why that cannot be.
 *
 * @param {Notebook} notebook
 * @param {string} id
 * @param {{ source: string, metadata: Record<string, unknown> }} wanted
 */
export function replaceCell(notebook, id, { source, metadata }) {
  if (notebook.replace(id, source, metadata)) return;
  throw new Error("The cell is gone, or it is not to be edited.");
}

/**
 * Let the kernel bring code into the notebook, and return where it is.
 *
 * @param {Place} place
 * @param {string} source
 * @param {boolean} isInPlace
 * @returns {Promise<string>}
 */
export async function landed({ store, origin }, source, isInPlace) {
  const { reply } = store.request({ type: "land", ...origin, source, in_place: isInPlace });
  return /** @type {{ text: string }} */ (await reply).text;
}

/**
 * Show a change that can be accepted or rejected.
 *
 * @param {string} before
 * @param {string} after
 * @param {string} question
 * @param {{ accept: () => Promise<void>, reject: () => void }} actions
 * @returns {HTMLElement}
 */
export function offerChange(before, after, question, { accept, reject }) {
  const title = make("p", "jllm-offer-title", question);
  const shown =
    before === after ? make("p", "jllm-note", "Nothing would change.") : diffView(before, after);
  const buttons = acceptOrReject(accept, reject);
  const offer = make("div", "jllm-offer", title, shown, buttons);
  offer.setAttribute("role", "group");
  offer.setAttribute("aria-label", question);
  return offer;
}

/**
 * Make the two buttons below a proposal. What goes wrong is said beside them.
 *
 * @param {() => Promise<void>} accept
 * @param {() => void} reject
 * @returns {HTMLElement}
 */
export function acceptOrReject(accept, reject) {
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
  return make("div", "jllm-offer-buttons", yes, no, problem);
}

/**
 * @param {unknown} error
 * @returns {string}
 */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}
