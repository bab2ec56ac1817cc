/** Has the model read a `%%llm` cell while it is written. */

import type { Cell, ICellModel } from "@jupyterlab/cells";
import { type Notebook, NotebookActions, type NotebookPanel } from "@jupyterlab/notebook";
import type { IDisposable } from "@lumino/disposable";
import { Signal } from "@lumino/signaling";
import { Drafting } from "../compose/drafting.js";
import type { Connection } from "../connection/connection.js";
import { isPromptCell } from "./prompt_cell.js";

/** What may go along with a prompt in a chat. */
const NOTHING_MORE = { after: null, attachments: [], is_alone: false };

/** Tells the kernel what stands in the active cell of a notebook whenever that is changed. */
export class CellDrafts implements IDisposable {
  readonly #notebook: Notebook;
  readonly #connection: Connection;
  #model: ICellModel | null = null;
  #drafting: Drafting | null = null;
  #isDisposed = false;

  constructor({ content, disposed }: NotebookPanel, connection: Connection) {
    this.#notebook = content;
    this.#connection = connection;
    content.activeCellChanged.connect(this.#follow, this);
    NotebookActions.executionScheduled.connect(this.#sent, this);
    disposed.connect(() => this.dispose());
    this.#follow();
  }

  get isDisposed(): boolean {
    return this.#isDisposed;
  }

  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#leave();
    Signal.clearData(this);
  }

  #follow(): void {
    this.#leave();
    const model = this.#notebook.activeCell?.model;
    if (model?.type !== "code") return;
    const { id, sharedModel } = model;
    this.#model = model;
    this.#drafting = new Drafting(
      () => {
        const source = model.isDisposed ? "" : sharedModel.getSource();
        return { text: isPromptCell(source) ? source : "", along: NOTHING_MORE };
      },
      ({ text }) =>
        this.#connection
          .request({ type: "draft", text, cell: id, ...NOTHING_MORE })
          .reply.catch(() => {}),
    );
    sharedModel.changed.connect(this.#changed, this);
  }

  #leave(): void {
    this.#model?.sharedModel.changed.disconnect(this.#changed, this);
    this.#drafting?.dispose();
    this.#model = this.#drafting = null;
  }

  #changed(): void {
    if (this.#connection.state === "open") this.#drafting?.changed();
  }

  #sent(_: unknown, { notebook, cell }: { notebook: Notebook; cell: Cell }): void {
    if (notebook === this.#notebook && cell.model === this.#model) this.#drafting?.dispose();
  }
}
