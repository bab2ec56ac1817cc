/** Tells a `%%llm` cell from others, and keeps it coloured as Markdown. */

import type { CodeEditor } from "@jupyterlab/codeeditor";

/** The MIME type of JupyterLab's own Markdown cells. */
export const MARKDOWN = "text/x-ipythongfm";

/** Whether a cell is a prompt with the magic in its first line. */
export function isPromptCell(source: string): boolean {
  return /^\s*%%llm(?!\S)/.test(source);
}

/** A cell as an editor shows it, as far as this needs to know it. */
export type EditedCell = Pick<CodeEditor.IModel, "isDisposed" | "mimeType" | "mimeTypeChanged"> & {
  sharedModel: Pick<CodeEditor.IModel["sharedModel"], "changed" | "getSource">;
};

/**
 * Have a code cell coloured as Markdown as long as it is a prompt, and as it was otherwise. Nothing
 * of that is saved.
 */
export function colourPrompts(model: EditedCell): void {
  const { sharedModel } = model;
  let ordinary = model.mimeType;
  const look = () => {
    if (model.isDisposed) {
      sharedModel.changed.disconnect(look);
      return;
    }
    const wanted = isPromptCell(sharedModel.getSource()) ? MARKDOWN : ordinary;
    if (model.mimeType !== wanted) model.mimeType = wanted;
  };
  // The notebook sets the type of all its cells once its kernel says which language it speaks.
  model.mimeTypeChanged.connect((_, { newValue }) => {
    if (newValue !== MARKDOWN) ordinary = newValue;
    look();
  });
  sharedModel.changed.connect(look);
  look();
}
