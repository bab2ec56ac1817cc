/** The settings of ghost text that stand beside JupyterLab's own for a provider. */

import type { IInlineCompletionProvider } from "@jupyterlab/completer";
import type { TranslationBundle } from "@jupyterlab/translation";

type Schema = NonNullable<IInlineCompletionProvider["schema"]>;

const MOST_ALTERNATIVES = 5;
const MOST_LINES = 20;
/**
 * JupyterLab drops for good what begins later. A large model may read for minutes before it writes,
 * and who types on or goes elsewhere meanwhile ends that anyway.
 */
const FIRST_TEXT_MS = 600_000;

export interface GhostSettings {
  /** Milliseconds after a key until something is asked for. */
  delay: number;
  /** Only what a person asks for is suggested. */
  isManual: boolean;
  /** So many ways to go on are suggested to who asks by hand. */
  numAlternatives: number;
  /** A suggestion has so many lines at most. */
  maxLines: number;
  isInMarkdown: boolean;
}

export const DEFAULTS: GhostSettings = {
  delay: 120,
  isManual: false,
  numAlternatives: 3,
  maxLines: 8,
  isInMarkdown: false,
};

/** Read what JupyterLab says is set; what is missing or odd there is as by default. */
export function readSettings(set: Record<string, unknown>): GhostSettings {
  const number = (name: string, otherwise: number) =>
    typeof set[name] === "number" ? (set[name] as number) : otherwise;
  const count = (name: string, otherwise: number, most: number) =>
    Math.min(most, Math.max(1, Math.round(number(name, otherwise))));
  return {
    delay: Math.max(0, number("debouncerDelay", DEFAULTS.delay)),
    isManual: set.manualOnly === true,
    numAlternatives: count("alternatives", DEFAULTS.numAlternatives, MOST_ALTERNATIVES),
    maxLines: count("maxLines", DEFAULTS.maxLines, MOST_LINES),
    isInMarkdown: set.inMarkdown === true,
  };
}

export function schema(trans: TranslationBundle): Schema {
  return {
    properties: {
      manualOnly: {
        title: trans.__("Only by hand"),
        description: trans.__("Suggest nothing while typing, only when invoked (Alt \\)."),
        type: "boolean",
      },
      alternatives: {
        title: trans.__("Alternatives"),
        description: trans.__("How many ways to go on are suggested when invoked."),
        type: "number",
        minimum: 1,
        maximum: MOST_ALTERNATIVES,
      },
      maxLines: {
        title: trans.__("Lines"),
        description: trans.__("How many lines a suggestion has at most."),
        type: "number",
        minimum: 1,
        maximum: MOST_LINES,
      },
      inMarkdown: {
        title: trans.__("In Markdown cells"),
        description: trans.__("Suggest text while typing in Markdown cells, too."),
        type: "boolean",
      },
    },
    default: {
      debouncerDelay: DEFAULTS.delay,
      autoFillInMiddle: true,
      timeout: FIRST_TEXT_MS,
      manualOnly: DEFAULTS.isManual,
      alternatives: DEFAULTS.numAlternatives,
      maxLines: DEFAULTS.maxLines,
      inMarkdown: DEFAULTS.isInMarkdown,
    },
  };
}
