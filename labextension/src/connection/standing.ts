/** What is said where a notebook is not connected, and what can be done about it. */

import type { ConnectionState } from "./connection.js";

/** One line, and whether jupyter_llm may be loaded now. Nothing is said with an empty text. */
export interface Standing {
  text: string;
  canLoad: boolean;
}

/** `translate` puts a text into the user's language. */
export function standing(
  state: ConnectionState | null,
  versions: { ours: string; theirs: string | null },
  translate: (text: string, ...values: string[]) => string,
): Standing {
  const say = (text: string, canLoad = false) => ({ text, canLoad });
  switch (state) {
    case null:
      return say(translate("Open a notebook to chat about it."));
    case "none":
      return say(translate("Waiting for the kernel…"));
    case "foreign":
      return say(
        translate("The model lives in Python kernels; this kernel is of another language."),
      );
    case "absent":
      return say(translate("jupyter_llm is not loaded in this kernel."), true);
    case "differs":
      return say(
        translate(
          "This page has jupyter_llm %1 and the kernel %2. Install the same version for both, then restart the kernel and load the page again.",
          versions.ours,
          versions.theirs ?? "?",
        ),
      );
    default:
      return say("");
  }
}

/** Why jupyter_llm could not be loaded, and what helps. */
export function loadFailure(
  reason: string,
  translate: (text: string, ...values: string[]) => string,
): string {
  return /no module named '?jupyter_llm'?/i.test(reason)
    ? translate(
        "It is not installed where this kernel runs. From a clone: %1",
        "pip install '.[smollm2]'",
      )
    : translate("It could not be loaded: %1", reason);
}
