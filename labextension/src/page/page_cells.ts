/** Which cell of a notebook is the active one: only the page tells a widget. */

interface KnownCell {
  id: string;
  sharedModel: { getSource: () => string };
}

const ACTIVE_CELL = ".jp-Cell.jp-mod-active";
/** A conversation as the notebook keeps it, which nobody sees beside its panel. */
const HIDDEN_TRANSCRIPT =
  ".jp-OutputArea:has(.jllm-panel) .jp-OutputArea-output:has(.jupyter-llm-transcript)";

/**
 * The cells of a notebook as they stand on the page.
 *
 * A click into a panel makes the cell that shows it the active one. What users mean is the cell
 * they were at before, so that one is remembered.
 */
export class PageCells {
  readonly #element: HTMLElement;
  readonly #knownCells: () => KnownCell[];
  readonly #ownId: () => string | null;
  #root: Element | null = null;
  #lastId: string | null = null;
  readonly #listeners = new Set<() => void>();
  readonly #observer = new MutationObserver((changes) => {
    if (changes.some(({ target }) => target instanceof Element && target.matches(".jp-Cell"))) {
      this.#look();
    }
  });
  // A view is drawn before it is put on the page; then it gets a size.
  readonly #resizes = new ResizeObserver(() => this.#follow());

  /**
   * `element` is the panel's; `knownCells` are the notebook's cells, in order; `ownId` is that of
   * the cell with the panel.
   */
  constructor(element: HTMLElement, knownCells: () => KnownCell[], ownId: () => string | null) {
    this.#element = element;
    this.#knownCells = knownCells;
    this.#ownId = ownId;
    this.#resizes.observe(element);
  }

  /** The id of the active cell, or of the one before it if it is the panel's own. */
  activeId(): string | null {
    this.#follow();
    this.#look();
    const isThere = this.#knownCells().some(({ id }) => id === this.#lastId);
    return isThere ? this.#lastId : null;
  }

  /** The page does not tell a widget what is selected. */
  selection(): null {
    return null;
  }

  /** The place of the cell that the panel stands in, or -1 if it stands elsewhere. */
  ownPlace(): number {
    const node = this.#element.closest(".jp-Cell");
    return node ? placeOf(node, this.#knownCells().length) : -1;
  }

  /** Returns what ends it. */
  onActiveChanged(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Keep MathJax from formulas that nobody sees: those of a long chat take it seconds each time. */
  leaveHiddenMath(): void {
    for (const node of document.querySelectorAll(HIDDEN_TRANSCRIPT)) {
      node.classList.add("mathjax_ignore");
    }
  }

  /** Stop looking. */
  dispose(): void {
    this.#listeners.clear();
    this.#observer.disconnect();
    this.#resizes.disconnect();
  }

  /** Look at the notebook that the panel stands in now. */
  #follow(): void {
    if (this.#root?.isConnected) return;
    this.#root = this.#element.closest(".jp-Notebook") ?? mostAlike(this.#knownCells());
    this.#observer.disconnect();
    if (!this.#root) return;
    this.#observer.observe(this.#root, { subtree: true, attributeFilter: ["class"] });
    this.#look();
  }

  #look(): void {
    const node = this.#root?.querySelector(ACTIVE_CELL);
    const cells = this.#knownCells();
    const id = node ? (cells[placeOf(node, cells.length)]?.id ?? null) : null;
    if (id === null || id === this.#lastId || id === this.#ownId()) return;
    this.#lastId = id;
    for (const listener of [...this.#listeners]) listener();
  }
}

/** Where a cell stands in its notebook, of which the page may hold but a part. */
function placeOf(node: Element, numCells: number): number {
  const all = [...(node.closest(".jp-Notebook")?.querySelectorAll(".jp-Cell") ?? [])];
  if (all.length === numCells) return all.indexOf(node);
  return Number(node.getAttribute("data-windowed-list-index") ?? -1);
}

/** The notebook on the page that shows given cells, for a panel that stands elsewhere. */
function mostAlike(cells: KnownCell[]): Element | null {
  const notebooks = [...document.querySelectorAll(".jp-Notebook")].map((root) => {
    const nodes = [...root.querySelectorAll(".jp-Cell")];
    const numAlike = nodes.filter((node) => shows(node, cells[placeOf(node, cells.length)])).length;
    return { root, share: nodes.length ? numAlike / nodes.length : 0 };
  });
  const best = notebooks.sort((one, other) => other.share - one.share)[0];
  return best && best.share > 0.5 ? best.root : null;
}

/** Whether a cell on the page may be a given one, by the lines that are drawn of it. */
function shows(node: Element, cell: KnownCell | undefined): boolean {
  if (!cell) return false;
  const lines = new Set(cell.sharedModel.getSource().split("\n"));
  const drawn = [...node.querySelectorAll(".jp-InputArea .cm-line")];
  return drawn.every(({ textContent }) => lines.has(textContent ?? ""));
}
