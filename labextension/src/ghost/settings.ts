/** The settings of ghost text, which stand beside JupyterLab's own for a provider. */

import type { IInlineCompletionProvider } from "@jupyterlab/completer";
import { trans } from "../dom/words.js";

/**
 * JupyterLab drops for good what begins later. A large model may read for minutes before it writes,
 * and who types on or goes elsewhere meanwhile ends that anyway.
 */
const FIRST_TEXT_MS = 600_000;

/** The default settings, by the names of `schema` and JupyterLab, which drop all other settings. */
export const DEFAULTS = {
  debouncerDelay: 120, // ms
  autoFillInMiddle: true,
  timeout: FIRST_TEXT_MS,
  manualOnly: false,
  alternatives: 3,
  maxLines: 8,
  inMarkdown: false,
  nextCell: false,
};

export function schema(): NonNullable<IInlineCompletionProvider["schema"]> {
  const properties = {
    manualOnly: {
      title: trans.__("Only by hand"),
      description: trans.__("Suggest nothing while typing, only when invoked (Alt \\)."),
      type: "boolean",
    },
    alternatives: {
      title: trans.__("Alternatives"),
      description: trans.__("How many ways to go on are suggested when invoked."),
      type: "integer",
      minimum: 1,
      maximum: 5,
    },
    maxLines: {
      title: trans.__("Lines"),
      description: trans.__("How many lines a suggestion has at most."),
      type: "integer",
      minimum: 1,
      maximum: 20,
    },
    inMarkdown: {
      title: trans.__("In Markdown cells"),
      description: trans.__("Suggest text while typing in Markdown cells, too."),
      type: "boolean",
    },
    nextCell: {
      title: trans.__("Next cell"),
      description: trans.__("Suggest a cell in the empty cell below one that ran."),
      type: "boolean",
    },
  };
  return { properties, default: DEFAULTS } as NonNullable<IInlineCompletionProvider["schema"]>;
}
