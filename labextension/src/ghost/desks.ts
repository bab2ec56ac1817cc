/** Where somebody writes: in a notebook, in a console or in a file, one text at a time. */

import type { ISharedText } from "@jupyter/ydoc";
import type { Cell, ICellModel } from "@jupyterlab/cells";
import type { CodeEditor } from "@jupyterlab/codeeditor";
import type { NotebookPanel } from "@jupyterlab/notebook";
import type { ISignal } from "@lumino/signaling";
import type { Widget } from "@lumino/widgets";
import type { DocumentCell } from "../connection/messages.js";
import { followCells } from "../page/at_cells.js";
import { isOff } from "../page/off_cells.js";
import { documentCells } from "./cells.js";

/** What is written in: a cell, or all of a file. */
export interface Sheet {
  readonly model: Pick<ICellModel, "id" | "type"> & { readonly sharedModel: ISharedText };
  readonly editor: CodeEditor.IEditor | null;
  readonly ready: Promise<void>;
  readonly readOnly: boolean;
  readonly isDisposed: boolean;
}

/** A view in which somebody writes. */
export interface Desk {
  readonly widget: Widget;
  /** Where they are. */
  readonly sheet: Sheet | null;
  /** Whether nothing of it may be told. */
  readonly isOff: boolean;
  /** `moved` is called when they are in another sheet, `changed` when something was written. */
  follow(moved: () => void, changed: () => void): void;
  /** All cells as they stand; null where none but the sheet has changed since, if `isNews`. */
  cells(isNews: boolean): DocumentCell[] | null;
}

/** A console, as far as it is known here: that package of JupyterLab's is not needed otherwise. */
interface ConsoleLike {
  console: {
    promptCell: Cell | null;
    promptCellCreated: ISignal<unknown, unknown>;
    cells: Iterable<Cell>;
  };
}

/** A text file that is open in an editor. */
export interface FileLike {
  context: { localPath: string; pathChanged: ISignal<unknown, string> };
  content: { editor: CodeEditor.IEditor };
}

export function isPythonFile(widget: Widget): widget is Widget & FileLike {
  const { context, content } = widget as Widget & Partial<FileLike>;
  return !!content?.editor && !!context?.localPath.endsWith(".py");
}

export function notebookDesk(panel: NotebookPanel): Desk {
  const { content } = panel;
  const changed = new Set<Cell>();
  return {
    widget: panel,
    get sheet() {
      return content.activeCell;
    },
    get isOff() {
      return content.activeCell !== null && isOff(content.activeCell.model.sharedModel);
    },
    follow(moved, tell) {
      content.activeCellChanged.connect(moved);
      followCells(content, (cell) => {
        changed.add(cell);
        tell();
      });
    },
    cells(isNews) {
      const others = [...changed].filter((cell) => cell !== content.activeCell);
      if (!content.model || (isNews && others.length === 0)) return null;
      for (const cell of others) changed.delete(cell);
      return documentCells(content.model.cells);
    },
  };
}

/** A console or a Python file; null for what is neither. */
export function otherDesk(widget: Widget): Desk | null {
  if (isPythonFile(widget)) return fileDesk(widget);
  const { console } = widget as Widget & Partial<ConsoleLike>;
  return console
    ? {
        widget,
        get sheet() {
          return console.promptCell;
        },
        isOff: false,
        follow: (moved) => void console.promptCellCreated.connect(moved),
        cells() {
          const all = [...console.cells, ...(console.promptCell ? [console.promptCell] : [])];
          return documentCells(all.map(({ model }) => model));
        },
      }
    : null;
}

function fileDesk(widget: Widget & FileLike): Desk {
  const { editor } = widget.content;
  const { sharedModel } = editor.model;
  const sheet: Sheet = {
    model: { id: "file", type: "code", sharedModel },
    editor,
    ready: Promise.resolve(),
    get readOnly() {
      return editor.getOption("readOnly") === true;
    },
    get isDisposed() {
      return editor.isDisposed;
    },
  };
  return {
    widget,
    sheet,
    isOff: false,
    follow: () => {}, // there is but the one
    cells: () => [{ id: "file", kind: "code", source: sharedModel.getSource(), is_off: false }],
  };
}
