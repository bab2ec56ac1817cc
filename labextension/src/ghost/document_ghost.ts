/** Ghost text in one document: what is asked of its kernel, and what becomes of that while one types. */

import type { ISharedCell, SourceChange } from "@jupyter/ydoc";
import type { CodeEditor } from "@jupyterlab/codeeditor";
import { Signal } from "@lumino/signaling";
import type { Widget } from "@lumino/widgets";
import type { Connection } from "../connection/connection.js";
import type { CellKind, GhostPlace, Message } from "../connection/messages.js";
import { isOff } from "../page/document.js";
import { withoutHalves } from "../page/outputs.js";
import type { Desk, Sheet } from "./desks.js";
import { documentCells, SentCells } from "./sent_cells.js";
import { placeOf, Suggestion } from "./suggestion.js";

/** The pause after a change, or after a person comes to a cell, before the kernel hears of it. */
export const PAUSE_MS = 300;

/**
 * Of a long text so many characters before the cursor are sent, and from the same place on while less
 * than a step more is written: what begins anew the model reads anew.
 */
const [MOST, STEP] = [20_000, 10_000];

/** Events at a desk that ghost text follows. */
export interface Listener {
  /** Something was typed; `isBlank` says that the cursor is on a line where nothing stands before it. */
  onTyped(widget: Widget, isBlank: boolean): void;
  /** A suggestion in an editor does not fit there any more, though nothing was typed. */
  onStale(editor: CodeEditor.IEditor): void;
}

/** The cells that a kernel has received, and the kernel's model: "" until the kernel names it. */
interface Shared {
  sent: SentCells;
  model: string | null;
}

/** Several views of a notebook share a connection. */
const all = new WeakMap<Connection, Shared>();

/** One for each view of a notebook, each console and each file. */
export class DocumentGhost {
  readonly #connection: Connection;
  readonly #listener: Listener;
  readonly #shared: Shared;
  #sheet: Sheet | null = null;
  #leave = () => {};
  #asked: Suggestion | null = null;
  /** Whether another cell has changed than the one that is written. */
  #isNews = true;
  #focused: string | null = null;
  #pause = 0;

  constructor(
    readonly desk: Desk,
    connection: Connection,
    listener: Listener,
  ) {
    this.#connection = connection;
    this.#listener = listener;
    this.#shared = all.get(connection) ?? { sent: new SentCells(), model: "" };
    all.set(connection, this.#shared);
    connection.received.connect(this.#take, this);
    connection.stateChanged.connect(this.#begin, this);
    desk.follow(
      () => void this.#follow(),
      (changed) => {
        if (changed === desk.sheet) return;
        this.#isNews = true;
        this.#wait();
      },
    );
    desk.widget.disposed.connect(() => {
      this.#leave();
      this.cancel();
      clearTimeout(this.#pause);
      Signal.clearData(this);
    });
    void this.#follow();
  }

  /** The suggestion in a sheet, if the suggestion still fits there. */
  fitting(sheet: Sheet): Suggestion | null {
    return this.#asked?.sheet === sheet && this.#asked.isFitting ? this.#asked : null;
  }

  /** Ask for suggestions where the cursor is; null where the kernel has nothing to give. */
  ask(wishes: Pick<GhostPlace, "is_invoked" | "num_items" | "max_lines">): Suggestion | null {
    this.cancel();
    const { sheet } = this.desk;
    if (!this.#isReady || !sheet?.editor || isOffSheet(sheet)) return null;
    this.#sendCells();
    const asked = new Suggestion(sheet, sheet.editor, this.#shared.model ?? "");
    const { prefix, suffix } = asked.place;
    const { revision } = this.#shared.sent;
    const place = {
      cell_id: sheet.model.id,
      kind: sheet.model.type as CellKind,
      prefix: sentPart(prefix),
      suffix: withoutHalves(suffix.slice(0, MOST - STEP)),
      ...wishes,
    };
    const sent = this.#connection.call("complete", { revision, place }, (news) => asked.take(news));
    sent.then(
      () => asked.end(),
      (error: Error) => asked.end(error.message),
    );
    asked.target = sent.id;
    this.#asked = asked;
    return asked;
  }

  /** Let the kernel stop what was asked for. */
  cancel(): void {
    const asked = this.#asked;
    this.#asked = null;
    if (!asked || asked.isOver) return;
    asked.cancel();
    this.#connection.call("stop", { target: asked.target });
  }

  /** Whether the kernel answers, but has no model loaded. */
  get isWithoutModel(): boolean {
    return this.#shared.model === null && this.#connection.state === "open";
  }

  get #isReady(): boolean {
    return this.#shared.model !== null && this.#connection.state === "open";
  }

  #take(_: Connection, message: Message): void {
    if (message.type === "resend") this.#begin();
    if (message.type !== "welcome" && message.type !== "model") return;
    this.#shared.model = message.model;
    this.#focused = null;
    this.#wait();
  }

  #begin(): void {
    this.#shared.sent.forget();
    this.#isNews = true;
    this.#focused = null;
    this.#asked?.cancel();
    this.#asked = null;
    this.#wait();
  }

  /** Listen to what is done in the sheet where the person is now. */
  async #follow(): Promise<void> {
    const { sheet } = this.desk;
    if (sheet === this.#sheet) return;
    this.#leave();
    this.cancel();
    this.#sheet = sheet;
    this.#isNews = true;
    await sheet?.ready;
    const editor = sheet?.editor;
    if (sheet !== this.#sheet || !editor || editor.isDisposed) return;
    const { sharedModel, selections } = editor.model;
    const change = (_: unknown, { sourceChange }: SourceChange) => {
      if (!sourceChange) return;
      if (this.#asked?.isFitting === false) this.cancel();
      if (!editor.hasFocus()) return;
      const isInsert = sourceChange.some(({ insert }) => insert);
      const isBlank = isInsert && /\n[^\S\n]*$/.test(placeOf(editor).prefix);
      this.#listener.onTyped(this.desk.widget, isBlank);
    };
    const move = () => setTimeout(() => this.#moved(), 0); // once the text has changed as well
    sharedModel.changed.connect(change);
    selections.changed.connect(move);
    this.#leave = () => {
      sharedModel.changed.disconnect(change);
      selections.changed.disconnect(move);
    };
    this.#wait();
  }

  #moved(): void {
    const asked = this.#asked;
    if (!asked || asked.editor.isDisposed || asked.isFitting) return;
    this.cancel();
    this.#listener.onStale(asked.editor);
  }

  /** Tell the kernel after a pause what the document is like, and where the person is. */
  #wait(): void {
    clearTimeout(this.#pause);
    this.#pause = window.setTimeout(() => this.#sendAll(), PAUSE_MS);
  }

  #sendAll(): void {
    const id = this.desk.sheet?.model.id;
    if (!id || this.#connection.state !== "open") return;
    if (!this.#sendCells() && this.#focused === id) return;
    this.#focused = id;
    this.#connection.call("focus", { revision: this.#shared.sent.revision, cell: id });
  }

  /** Tell of what has changed, but for the cell that is written: who asks for more sends that. */
  #sendCells(): boolean {
    if (!this.#isNews) return false;
    this.#isNews = false;
    const edit = this.#shared.sent.edit(documentCells(this.desk.cells), this.desk.sheet?.model.id);
    if (edit) this.#connection.call("cells", edit);
    return !!edit;
  }
}

/** The end of a text before the cursor, from a line on; where a line is longer, from within it. */
function sentPart(prefix: string): string {
  const skipped = Math.max(0, Math.ceil((prefix.length - MOST) / STEP) * STEP);
  const line = skipped && prefix.indexOf("\n", skipped) + 1;
  return withoutHalves(prefix.slice(line || skipped));
}

function isOffSheet({ model: { sharedModel } }: Sheet): boolean {
  return "getMetadata" in sharedModel && isOff(sharedModel as ISharedCell);
}
