/** The actions on the cells of one notebook: at most one for each cell. */

import { Notification } from "@jupyterlab/apputils";
import type { Cell } from "@jupyterlab/cells";
import { Signal } from "@lumino/signaling";
import type { BoxLayout } from "@lumino/widgets";
import type { Action, Change, Message, OpenProposal } from "../connection/messages.js";
import { CHAT } from "../connection/public.js";
import { trans } from "../dom/words.js";
import { followCells } from "../page/at_cells.js";
import { createNotebook } from "../page/cells.js";
import { checkLanded, NotebookDocument } from "../page/document.js";
import { suits } from "./cells.js";
import { createReview, type Decisions } from "./review.js";
import { type Around, type Offer, type Tools, View } from "./view.js";

/** The actions under way or not yet put away. */
export class CellActions implements Decisions {
  readonly #tools: Around;
  readonly #views = new Set<View>();
  readonly #review = createReview(this);
  /** Proposals for cells at which something else is open, or which are not there. */
  readonly #held = new Map<string, OpenProposal>();
  #isPlacing = false;
  #isLooking = false;
  /** The cells that are still to be edited as was said at another, by their ids. */
  #queue: { id: string; instruction: string }[] = [];
  /** The last of the queue that has begun. */
  #edited: View | null = null;

  constructor(tools: Tools) {
    this.#tools = { ...tools, views: this.#views, notify: () => this.#lookSoon() };
    (tools.panel.layout as BoxLayout).addWidget(this.#review.widget);
    followCells(tools.panel.content, () => this.#placeSoon());
    tools.connection.stateChanged.connect(this.#lookSoon, this);
    tools.panel.disposed.connect(() => {
      Signal.disconnectReceiver(this); // other views of the notebook keep the connection
      for (const view of [...this.#views]) view.end(false);
    });
  }

  /** Show the proposals that wait in the kernel, and follow those of other pages from now on. */
  follow(): void {
    const { stateChanged, received } = this.#tools.connection;
    stateChanged.connect(this.#showWaiting, this);
    received.connect(this.#hear, this);
    this.#showWaiting();
  }

  #showWaiting(): void {
    const { connection, panel } = this.#tools;
    if (!this.isOpen) return;
    Promise.all([connection.call("open_proposals", {}), panel.context.ready]).then(
      ([all]) => {
        this.#held.clear();
        for (const [task, waiting] of Object.entries(all)) this.#take(task, waiting);
      },
      () => {}, // the connection was lost meanwhile
    );
  }

  #hear(_: unknown, message: Message): void {
    if (message.type === "proposed") this.#take(message.task, message.waiting);
    if (message.type === "show-fix") this.begin("fix", this.#find(message.cell));
  }

  #take(task: string, waiting: OpenProposal | null): void {
    if (this.#tools.panel.isDisposed) return;
    this.#held.delete(task);
    const shown = [...this.#views].find((view) => view.task === task);
    if (!waiting || shown) {
      if (!waiting) shown?.end(false);
      else if (!shown?.isWorking) shown?.resume(waiting);
      return;
    }
    const asked = this.#find(waiting.cell);
    const place = this.#find(waiting.proposal.cell) ?? asked;
    const old = this.#of(place);
    if (!place || (old && !old.isRead)) {
      this.#held.set(task, waiting);
      return;
    }
    old?.end();
    const more = { place, id: task };
    new View(this.#tools, waiting.action, asked ?? place, more).resume(waiting);
  }

  /** Whether the model can be asked. */
  get isOpen(): boolean {
    return this.#tools.connection.state === "open";
  }

  /** The cell that a person is at. */
  get cell(): Cell | null {
    return this.#tools.panel.content.activeCell;
  }

  /** The action on that cell, if there is one. */
  get view(): View | null {
    return this.#of(this.cell);
  }

  canDo(action: Action, cell = this.cell): boolean {
    return this.isOpen && cell !== null && suits(action, cell, this.#tools.panel);
  }

  /**
   * Do something with a cell, in the place of what was done with it before, unless that left a
   * proposal or words that were not sent. An instruction that is typed is for all selected cells.
   */
  begin(action: Action, cell = this.cell, instruction: string | null = null): void {
    if (!cell || !this.canDo(action, cell)) return;
    const old = this.#of(cell);
    if (old?.isUndecided) {
      old.remind();
      return;
    }
    old?.end();
    const { selectedCells } = this.#tools.panel.content;
    const others = selectedCells.filter((one) => one !== cell && this.canDo(action, one));
    const isForAll = action === "edit" && cell === this.cell && !instruction;
    const ids = isForAll ? others.map(({ model }) => model.id) : [];
    const onSend = (text: string) => {
      this.#queue.push(...ids.map((id) => ({ id, instruction: text })));
      this.#edited = view;
    };
    const view = new View(this.#tools, action, cell, { others: ids.length, onSend });
    view.begin(null, instruction);
  }

  /** How many proposals can be accepted. */
  get numOffers(): number {
    return this.#offers.length;
  }

  /** Whether the bar is there, which counts what is still to come, too. */
  get isReviewing(): boolean {
    return !this.#review.widget.isHidden;
  }

  /** Accept all proposals, as one step of the notebook to undo. */
  acceptAll(): void {
    const { content, context } = this.#tools.panel;
    // From the end, as cells that are new move those below.
    const views = this.#offers.reverse();
    const numDeleted = views.filter(({ offer }) => offer?.numDeleted).length;
    const notebook = new NotebookDocument(context.model);
    notebook.together(() => {
      const isEmptied = numDeleted > 1 && numDeleted === content.widgets.length;
      if (isEmptied) notebook.insertBelow([{ source: "" }], null);
      for (const view of views) view.accept();
    });
    content.activate(); // where the keys of the notebook undo it
    requestAnimationFrame(() => content.activate()); // or in the one cell that is new
  }

  /** Reject all proposals, and those that are to come. */
  rejectAll(): void {
    this.#queue = [];
    this.#edited?.end();
    for (const view of this.#offers) view.end();
    this.#tools.panel.content.activate();
  }

  /** Go to the next proposal below the active cell, or to the first. */
  async goNext(): Promise<void> {
    const { activeCellIndex } = this.#tools.panel.content;
    const places = this.#places;
    const isBelow = ({ id }: View) => (places.get(id) ?? 0) > activeCellIndex;
    const next = this.#offers.find(isBelow) ?? this.#offers[0];
    await this.#goTo(this.#find(next?.id ?? null));
    next?.go();
  }

  /** Undo the last run of written code, and report what was done to the variables. */
  undo(): void {
    this.#tools.connection.call("undo", {}).then(
      (report) => Notification.info(report, { autoClose: 15_000 }),
      ({ message }: Error) => Notification.warning(message, { autoClose: 15_000 }),
    );
  }

  /** Have the active cell and its output go along with what is asked in the chat. */
  ask(): void {
    const { panel, commands } = this.#tools;
    const notebook = createNotebook(panel, panel.node);
    for (const found of [notebook?.attachCell(), notebook?.attachOutput()]) {
      if (typeof found === "object") void commands.execute(CHAT, { ...found });
    }
    notebook?.dispose();
  }

  /** Show a change that a chat proposes for a cell, where a person can decide about it. */
  async propose(change: Change): Promise<void> {
    const cell = this.#find(change.cell);
    if (!cell) return checkLanded("gone");
    await this.#goTo(cell);
    const old = this.#of(cell);
    if (old?.isUndecided) {
      old.remind();
      throw new Error(trans.__("Decide first about what is open at that cell."));
    }
    old?.end();
    new View(this.#tools, null, cell).begin(change);
  }

  /** The proposals that can be accepted, from top to bottom. */
  get #offers(): View[] {
    const places = this.#places;
    const offers = [...this.#views].filter(({ offer }) => offer !== null);
    return offers.sort((one, other) => (places.get(one.id) ?? 0) - (places.get(other.id) ?? 0));
  }

  get #places(): Map<string, number> {
    return new Map(this.#tools.panel.content.widgets.map(({ model }, index) => [model.id, index]));
  }

  async #goTo(cell: Cell | null): Promise<void> {
    const { content } = this.#tools.panel;
    if (!cell) return;
    content.activeCellIndex = content.widgets.indexOf(cell);
    await content.scrollToItem(content.activeCellIndex);
  }

  #find(id: string | null): Cell | null {
    return this.#tools.panel.content.widgets.find(({ model }) => model.id === id) ?? null;
  }

  #of(cell: Cell | null): View | null {
    return [...this.#views].find(({ id }) => id === cell?.model.id) ?? null;
  }

  /**
   * Cells that are moved go and come again, and an editor that tells of a change takes no marks until
   * it is done with it: look once all is in its place.
   */
  #placeSoon(): void {
    if (this.#isPlacing || this.#views.size === 0) return;
    this.#isPlacing = true;
    setTimeout(() => {
      this.#isPlacing = false;
      for (const view of [...this.#views]) view.place();
    });
  }

  #lookSoon(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    setTimeout(() => {
      this.#isLooking = false;
      if (!this.#tools.panel.isDisposed) this.#look();
    });
  }

  /** Begin with the next cell of the queue once the model is free, and count what there is. */
  #look(): void {
    for (const [task, waiting] of [...this.#held]) this.#take(task, waiting);
    const views = [...this.#views];
    const isFree = this.isOpen && !views.some(({ isWorking }) => isWorking);
    const next = isFree ? this.#queue.shift() : undefined;
    const cell = this.#find(next?.id ?? null);
    const old = this.#of(cell);
    if (next && cell && !old?.isUndecided && this.canDo("edit", cell)) {
      old?.end();
      this.#edited = new View(this.#tools, "edit", cell);
      this.#edited.edit(next.instruction);
    } else if (next) this.#lookSoon();
    const offers = views.flatMap(({ offer }) => (offer ? [offer] : []));
    const count = (kind: keyof Offer) => offers.reduce((sum, offer) => sum + offer[kind], 0);
    const numWaiting = this.#queue.length + Number(this.#edited?.isWorking ?? false);
    this.#review.show(count("numChanged"), count("numNew"), count("numDeleted"), numWaiting);
  }
}
