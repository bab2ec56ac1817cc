/** Ghost text in one notebook: what is asked of its kernel, and what becomes of that while one types. */

import type { CellChange } from "@jupyter/ydoc";
import type { Cell } from "@jupyterlab/cells";
import type { CodeEditor } from "@jupyterlab/codeeditor";
import type { NotebookPanel } from "@jupyterlab/notebook";
import type { Connection } from "../connection/connection.js";
import type { Message } from "../connection/messages.js";
import { isOff } from "../page/off_cells.js";
import { documentCells, noteAccepted } from "./cells.js";
import { type Place, Suggestion } from "./suggestion.js";
import { ToldCells } from "./told_cells.js";

/** So long after the last change, or after a person has come to a cell, the kernel is told of it. */
const PAUSE_MS = 300;

export interface Asked {
  suggestion: Suggestion;
  /** The request's id. */
  target: string;
  /** Which is to write it. */
  model: string;
  cell: Cell;
  editor: CodeEditor.IEditor;
}

/** Where the cursor of an editor is. */
export function placeOf(editor: CodeEditor.IEditor): Place {
  const source = editor.model.sharedModel.getSource();
  const offset = editor.getOffsetAt(editor.getCursorPosition());
  return { prefix: source.slice(0, offset), suffix: source.slice(offset) };
}

/** What happens in a notebook that ghost text has to follow. */
export interface Listener {
  /** Something was typed; `isBlank` says that the cursor is on a line where nothing stands before it. */
  onTyped(panel: NotebookPanel, isBlank: boolean): void;
  /** What is suggested in an editor does not fit there any more, though nothing was typed. */
  onStale(editor: CodeEditor.IEditor): void;
}

/** One for each notebook document; several views of it share this. */
export class NotebookGhost {
  readonly #connection: Connection;
  readonly #listener: Listener;
  readonly #told = new ToldCells();
  #asked: Asked | null = null;
  #model: string | null = ""; // until the kernel says which
  #panel: NotebookPanel | null = null;
  #focused: string | null = null;
  #pause = 0;

  constructor(connection: Connection, listener: Listener) {
    this.#connection = connection;
    this.#listener = listener;
    connection.received.connect(this.#take, this);
    connection.stateChanged.connect(this.#begin, this);
  }

  /** Follow what a person does in a view of the notebook. */
  add(panel: NotebookPanel): void {
    const { content } = panel;
    let [cell, editor] = [null as Cell | null, null as CodeEditor.IEditor | null];
    const change = (_: unknown, { sourceChange }: CellChange) => {
      if (sourceChange)
        this.#typed(
          panel,
          editor,
          sourceChange.some(({ insert }) => insert),
        );
    };
    const move = () => setTimeout(() => this.#moved(), 0); // once the text has changed as well
    const leave = () => {
      cell?.model.sharedModel.changed.disconnect(change);
      editor?.model.selections.changed.disconnect(move);
    };
    const follow = async () => {
      const active = content.activeCell;
      if (active === cell) return;
      leave();
      this.cancel();
      [cell, editor] = [active, null];
      this.#panel = panel;
      if (!active) return;
      active.model.sharedModel.changed.connect(change);
      await active.ready;
      if (active !== cell || active.isDisposed) return;
      editor = active.editor;
      editor?.model.selections.changed.connect(move);
      this.#wait();
    };
    content.activeCellChanged.connect(follow);
    content.modelContentChanged.connect(this.#wait, this);
    void follow();
    panel.disposed.connect(() => {
      leave();
      if (this.#panel === panel) this.#panel = null;
      if (this.#asked?.cell === cell) this.cancel();
    });
  }

  /** What is suggested in a cell, if that still holds there. */
  standing(cell: Cell): Asked | null {
    const asked = this.#asked;
    if (asked?.cell !== cell || cell.isDisposed) return null;
    return asked.suggestion.goesOnAt(placeOf(asked.editor)) ? asked : null;
  }

  /** Ask for suggestions where the cursor is; null where the kernel has nothing to give. */
  ask(
    panel: NotebookPanel,
    cell: Cell,
    editor: CodeEditor.IEditor,
    { isInvoked, numItems, maxLines }: { isInvoked: boolean; numItems: number; maxLines: number },
  ): Asked | null {
    this.cancel();
    if (!this.#isReady || isOff(cell.model.sharedModel)) return null;
    this.#tell(panel);
    const place = placeOf(editor);
    const suggestion = new Suggestion(cell.model.id, place);
    const { id, reply } = this.#connection.request(
      {
        type: "complete",
        revision: this.#told.revision,
        cell: cell.model.id,
        ...place,
        is_invoked: isInvoked,
        num_items: numItems,
        max_lines: maxLines,
      },
      (message) => suggestion.take(message),
    );
    reply.then(
      () => suggestion.end(),
      (error: Error) => suggestion.end(error.message),
    );
    this.#asked = { suggestion, target: id, model: this.#model ?? "", cell, editor };
    return this.#asked;
  }

  /** Let the kernel stop what was asked for. */
  cancel(): void {
    const asked = this.#asked;
    this.#asked = null;
    if (!asked || asked.suggestion.isOver) return;
    asked.suggestion.cancel();
    this.#connection.request({ type: "stop", target: asked.target });
  }

  /** Note what was taken of a suggestion: the lines, as they are now, from its place to the cursor. */
  taken({ suggestion, model, cell, editor }: Asked): void {
    const { prefix, suffix } = placeOf(editor);
    const { place } = suggestion;
    const { length } = place.prefix;
    const text = prefix.slice(length);
    const [start, end] = [prefix.length - text.trimStart().length, length + text.trimEnd().length];
    const [rest] = `${prefix}${suffix}`.slice(end).split("\n", 1);
    const lines = `${prefix.slice(prefix.lastIndexOf("\n", start - 1) + 1, end)}${rest}`;
    if (start < end) noteAccepted(cell.model, model, lines, place.prefix + place.suffix);
  }

  get #isReady(): boolean {
    return this.#model !== null && this.#connection.state === "open";
  }

  #take(_: Connection, message: Message): void {
    if (message.type === "resend") this.#begin();
    if (message.type !== "welcome" && message.type !== "model") return;
    this.#model = message.model;
    this.#focused = null;
    this.#wait();
  }

  #begin(): void {
    this.#told.forget();
    this.#focused = null;
    this.#asked?.suggestion.cancel();
    this.#asked = null;
    this.#wait();
  }

  #typed(panel: NotebookPanel, editor: CodeEditor.IEditor | null, isInsert: boolean): void {
    const asked = this.#asked;
    if (asked && !asked.suggestion.goesOnAt(placeOf(asked.editor))) this.cancel();
    if (!editor?.hasFocus()) return;
    this.#listener.onTyped(panel, isInsert && /\n[^\S\n]*$/.test(placeOf(editor).prefix));
  }

  #moved(): void {
    const asked = this.#asked;
    if (!asked || asked.editor.isDisposed) return;
    if (asked.suggestion.goesOnAt(placeOf(asked.editor))) return;
    this.cancel();
    this.#listener.onStale(asked.editor);
  }

  /** Tell the kernel after a pause what the notebook is like, and where the person is. */
  #wait(): void {
    clearTimeout(this.#pause);
    if (this.#isReady) this.#pause = window.setTimeout(() => this.#tellAll(), PAUSE_MS);
  }

  #tellAll(): void {
    const cell = this.#panel?.content.activeCell;
    if (!this.#panel || !cell || !this.#isReady) return;
    const isChanged = this.#tell(this.#panel);
    if (!isChanged && this.#focused === cell.model.id) return;
    this.#focused = cell.model.id;
    this.#connection.request({
      type: "focus",
      revision: this.#told.revision,
      cell: cell.model.id,
    });
  }

  /** Tell of what has changed, but for the cell that is written: who asks for more sends that. */
  #tell({ content }: NotebookPanel): boolean {
    if (!content.model) return false;
    const edit = this.#told.edit(documentCells(content.model), content.activeCell?.model.id);
    if (edit) this.#connection.request(edit);
    return edit !== null;
  }
}
