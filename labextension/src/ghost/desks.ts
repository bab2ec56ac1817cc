/** Places to write: a notebook, a console or a file, in one sheet at a time. */

import type { ISharedText } from "@jupyter/ydoc";
import type { Cell, ICellModel } from "@jupyterlab/cells";
import type { CodeEditor } from "@jupyterlab/codeeditor";
import type { NotebookPanel } from "@jupyterlab/notebook";
import type { ISignal } from "@lumino/signaling";
import type { Widget } from "@lumino/widgets";
import { followCells } from "../page/at_cells.js";

/** A cell, or all of a file. */
export interface Sheet {
  readonly model: Pick<ICellModel, "id" | "type"> & { readonly sharedModel: ISharedText };
  readonly editor: CodeEditor.IEditor | null;
  /** Until then a cell may have no editor. */
  readonly ready?: Promise<void>;
}

/** A view in which somebody writes. */
export interface Desk {
  readonly widget: Widget;
  /** The sheet in which the person writes. */
  readonly sheet: Sheet | null;
  /** All cells in their order. A file has none: what is asked there tells all that is to be told. */
  readonly cells: Iterable<ICellModel>;
  /** `moved` is called when they may be in another sheet, `changed` when one was written in. */
  follow(moved: () => void, changed: (sheet: Sheet) => void): void;
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
interface FileLike {
  context: { localPath: string };
  content: { editor: CodeEditor.IEditor };
}

export function isPythonFile(widget: Widget): widget is Widget & FileLike {
  const { context, content } = widget as Widget & Partial<FileLike>;
  return !!content?.editor && !!(context?.localPath as string | undefined)?.endsWith(".py");
}

export function notebookDesk(panel: NotebookPanel): Desk {
  const { content } = panel;
  return {
    widget: panel,
    get sheet() {
      return content.activeCell;
    },
    get cells() {
      return content.model?.cells ?? [];
    },
    follow(moved, changed) {
      content.activeCellChanged.connect(moved);
      followCells(content, changed);
    },
  };
}

/** A console or a Python file; null for what is neither. */
export function otherDesk(widget: Widget): Desk | null {
  if (isPythonFile(widget)) {
    const { editor } = widget.content;
    const model = { id: "file", type: "code", sharedModel: editor.model.sharedModel } as const;
    return { widget, sheet: { model, editor }, cells: [], follow: () => {} };
  }
  const { console } = widget as Widget & Partial<ConsoleLike>;
  if (!console) return null;
  return {
    widget,
    get sheet() {
      return console.promptCell;
    },
    get cells() {
      return [...console.cells, console.promptCell].flatMap((cell) => (cell ? [cell.model] : []));
    },
    follow: (moved) => void console.promptCellCreated.connect(moved),
  };
}
