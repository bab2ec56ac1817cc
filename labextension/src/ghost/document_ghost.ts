/** Ghost text in one document: what is asked of its kernel, and what becomes of that while one types. */

import type { ISharedCell, SourceChange } from "@jupyter/ydoc";
import type { CodeEditor } from "@jupyterlab/codeeditor";
import type { Connection } from "../connection/connection.js";
import type { Message } from "../connection/messages.js";
import { noteAccepted } from "./cells.js";
import type { Desk, Sheet } from "./desks.js";
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
  sheet: Sheet;
  editor: CodeEditor.IEditor;
}

/** Where the cursor of an editor is. */
export function placeOf(editor: CodeEditor.IEditor): Place {
  const source = editor.model.sharedModel.getSource();
  const offset = editor.getOffsetAt(editor.getCursorPosition());
  return { prefix: source.slice(0, offset), suffix: source.slice(offset) };
}

/** What happens in a document that ghost text has to follow. */
export interface Listener {
  /** Something was typed; `isBlank` says that the cursor is on a line where nothing stands before it. */
  onTyped(desk: Desk, isBlank: boolean): void;
  /** What is suggested in an editor does not fit there any more, though nothing was typed. */
  onStale(editor: CodeEditor.IEditor): void;
}

/** One for each notebook, console or file; several views of a notebook share this. */
export class DocumentGhost {
  #connection: Connection;
  readonly #listener: Listener;
  readonly #told = new ToldCells();
  #asked: Asked | null = null;
  #model: string | null = ""; // until the kernel says which
  #desk: Desk | null = null;
  #focused: string | null = null;
  #pause = 0;

  constructor(connection: Connection, listener: Listener) {
    this.#connection = connection;
    this.#listener = listener;
    this.#hear();
  }

  /** Ask another kernel from now on. */
  connect(connection: Connection): void {
    this.#connection = connection;
    this.#hear();
    this.#begin();
  }

  #hear(): void {
    this.#connection.received.connect(this.#take, this);
    this.#connection.stateChanged.connect(this.#begin, this);
  }

  /** Follow what a person does in a view of the document. */
  add(desk: Desk): void {
    let [sheet, editor] = [null as Sheet | null, null as CodeEditor.IEditor | null];
    const change = (_: unknown, { sourceChange }: SourceChange) => {
      if (sourceChange)
        this.#typed(
          desk,
          editor,
          sourceChange.some(({ insert }) => insert),
        );
    };
    const move = () => setTimeout(() => this.#moved(), 0); // once the text has changed as well
    let leave = () => {};
    const follow = async () => {
      const active = desk.sheet;
      if (active === sheet) return;
      leave();
      this.cancel();
      [sheet, editor] = [active, null];
      this.#desk = desk;
      if (!active) return;
      const { sharedModel } = active.model; // which a cell that is gone has no more
      sharedModel.changed.connect(change);
      leave = () => sharedModel.changed.disconnect(change);
      await active.ready;
      if (active !== sheet || active.isDisposed) return;
      editor = active.editor;
      const selections = editor?.model.selections;
      selections?.changed.connect(move);
      leave = () => {
        sharedModel.changed.disconnect(change);
        selections?.changed.disconnect(move);
      };
      this.#wait();
    };
    desk.follow(follow, () => this.#wait());
    void follow();
    desk.widget.disposed.connect(() => {
      leave();
      if (this.#desk === desk) this.#desk = null;
      if (this.#asked?.sheet === sheet) this.cancel();
    });
  }

  /** What is suggested in a sheet, if that still holds there. */
  standing(sheet: Sheet): Asked | null {
    const asked = this.#asked;
    if (asked?.sheet !== sheet || sheet.isDisposed) return null;
    return asked.suggestion.goesOnAt(placeOf(asked.editor)) ? asked : null;
  }

  /** Ask for suggestions where the cursor is; null where the kernel has nothing to give. */
  ask(
    desk: Desk,
    { isInvoked, numItems, maxLines }: { isInvoked: boolean; numItems: number; maxLines: number },
  ): Asked | null {
    this.cancel();
    const { sheet } = desk;
    const { editor, model } = sheet ?? {};
    if (!this.#isReady || !sheet || !editor || !model || desk.isOff) return null;
    this.#tell(desk);
    const place = placeOf(editor);
    const suggestion = new Suggestion(model.id, place);
    const { id, reply } = this.#connection.request(
      {
        type: "complete",
        revision: this.#told.revision,
        cell: model.id,
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
    this.#asked = { suggestion, target: id, model: this.#model ?? "", sheet, editor };
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

  #typed(desk: Desk, editor: CodeEditor.IEditor | null, isInsert: boolean): void {
    const asked = this.#asked;
    if (asked && !asked.suggestion.goesOnAt(placeOf(asked.editor))) this.cancel();
    if (!editor?.hasFocus()) return;
    this.#listener.onTyped(desk, isInsert && /\n[^\S\n]*$/.test(placeOf(editor).prefix));
  }

  #moved(): void {
    const asked = this.#asked;
    if (!asked || asked.editor.isDisposed) return;
    if (asked.suggestion.goesOnAt(placeOf(asked.editor))) return;
    this.cancel();
    this.#listener.onStale(asked.editor);
  }

  /** Tell the kernel after a pause what the document is like, and where the person is. */
  #wait(): void {
    clearTimeout(this.#pause);
    if (this.#isReady) this.#pause = window.setTimeout(() => this.#tellAll(), PAUSE_MS);
  }

  #tellAll(): void {
    const id = this.#desk?.sheet?.model.id;
    if (!this.#desk || !id || !this.#isReady) return;
    const isChanged = this.#tell(this.#desk);
    if (!isChanged && this.#focused === id) return;
    this.#focused = id;
    this.#connection.request({ type: "focus", revision: this.#told.revision, cell: id });
  }

  /** Tell of what has changed, but for the cell that is written: who asks for more sends that. */
  #tell(desk: Desk): boolean {
    const cells = desk.cells(this.#told.revision > 0);
    const edit = cells && this.#told.edit(cells, desk.sheet?.model.id);
    if (edit) this.#connection.request(edit);
    return !!edit;
  }
}

/** Note what was taken of a suggestion: the lines, as they are now, from its place to the cursor. */
export function noteTaken({ suggestion, model, sheet, editor }: Asked): void {
  if (sheet.isDisposed) return;
  const { sharedModel } = sheet.model;
  if (!("setMetadata" in sharedModel)) return; // a file has no place for it
  const { prefix, suffix } = placeOf(editor);
  const { place } = suggestion;
  const { length } = place.prefix;
  const text = prefix.slice(length);
  const [start, end] = [prefix.length - text.trimStart().length, length + text.trimEnd().length];
  const [rest] = `${prefix}${suffix}`.slice(end).split("\n", 1);
  const lines = `${prefix.slice(prefix.lastIndexOf("\n", start - 1) + 1, end)}${rest}`;
  const before = place.prefix + place.suffix;
  if (start < end) noteAccepted(sharedModel as ISharedCell, model, lines, before);
}
