/** Has the model read a `%%llm` cell while it is written. */

import type { Cell } from "@jupyterlab/cells";
import { type Notebook, NotebookActions, type NotebookPanel } from "@jupyterlab/notebook";
import { Drafting } from "../compose/drafting.js";
import type { Connection } from "../connection/connection.js";
import { isPromptCell } from "./prompt_cell.js";

/** A cell's prompt has none of the attachments of a chat's. */
const NOTHING_MORE = { attachments: [], is_alone: false };

/** Tell the kernel what stands in the active cell of a notebook whenever that is changed. */
export function sendDrafts({ content, disposed }: NotebookPanel, connection: Connection): void {
  let leave = () => {};
  const follow = () => {
    leave();
    const { model } = content.activeCell ?? {};
    if (model?.type !== "code") return;
    const { id, sharedModel } = model;
    const drafting = new Drafting(
      () => {
        const source = model.isDisposed ? "" : sharedModel.getSource();
        return { text: isPromptCell(source) ? source : "", along: NOTHING_MORE };
      },
      ({ text }) =>
        connection.call("draft", { prompt: { text, ...NOTHING_MORE }, cell: id }).catch(() => {}),
    );
    const change = () => {
      if (connection.state === "open") drafting.changed();
    };
    const sent = (_: unknown, { cell }: { notebook: Notebook; cell: Cell }) => {
      if (cell.model === model) drafting.dispose();
    };
    sharedModel.changed.connect(change);
    NotebookActions.executionScheduled.connect(sent);
    leave = () => {
      sharedModel.changed.disconnect(change);
      NotebookActions.executionScheduled.disconnect(sent);
      drafting.dispose();
      leave = () => {};
    };
  };
  content.activeCellChanged.connect(follow);
  disposed.connect(() => leave());
  follow();
}
