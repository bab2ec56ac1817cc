/** Which cell of a notebook is the active one: only the page tells a widget. */

/** The notebook's cells, in order, and the one with the panel. */
interface Known {
  readonly models: { id: string }[];
  ownCell(): { id: string } | null;
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
  readonly #known: Known;
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

  /** `element` is the panel's. */
  constructor(element: HTMLElement, known: Known) {
    this.#element = element;
    this.#known = known;
    this.#resizes.observe(element);
  }

  /** The id of the active cell, or of the one before it if it is the panel's own. */
  activeId(): string | null {
    this.#follow();
    this.#look();
    const isThere = this.#known.models.some(({ id }) => id === this.#lastId);
    return isThere ? this.#lastId : null;
  }

  /** The page does not tell a widget what is selected. */
  selection(): null {
    return null;
  }

  /** The place of the cell that the panel stands in, or -1 if it stands elsewhere. */
  ownPlace(): number {
    const node = this.#element.closest(".jp-Cell");
    return node ? placeOf(node, this.#known.models.length) : -1;
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
    const [one, another] = document.querySelectorAll(".jp-Notebook");
    const only = another ? null : one; // for a view of the panel in a tab of its own
    this.#root = this.#element.closest(".jp-Notebook") ?? only ?? null;
    this.#observer.disconnect();
    if (!this.#root) return;
    this.#observer.observe(this.#root, { subtree: true, attributeFilter: ["class"] });
    this.#look();
  }

  #look(): void {
    const node = this.#root?.querySelector(ACTIVE_CELL);
    const { models } = this.#known;
    const id = node ? (models[placeOf(node, models.length)]?.id ?? null) : null;
    if (id === null || id === this.#lastId || id === this.#known.ownCell()?.id) return;
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
