/** The public interface of the extension: semantic versioning covers this file, with the package's version. */

import { Token } from "@lumino/coreutils";

/** The command that shows the chat; with `label` and `text` it attaches the text. */
export const CHAT = "jupyter-llm:chat";

/** The object that other extensions get for the token. */
export interface IJupyterLLM {
  /** Attach a text to the next prompt in the chat of the notebook in front; `label` names its chip. */
  attach(label: string, text: string): Promise<void>;
  /** Offer a command of JupyterLab in the menu of the cell button, below our own. */
  addCellCommand(command: string): void;
  /** Have the model edit the active cell. The person sees the proposal there, and accepts or rejects it. */
  editCell(instruction: string): void;
}

export const IJupyterLLM = new Token<IJupyterLLM>(
  "jupyter-llm:IJupyterLLM",
  "Attaches texts to the chat of a notebook, and adds actions on cells.",
);
