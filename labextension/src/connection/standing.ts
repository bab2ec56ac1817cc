/** What is said where a notebook is not connected, and where that cannot be helped. */

import { trans } from "../dom/words.js";
import type { Connection } from "./connection.js";
import { VERSION } from "./version.js";

/** One line about a connection, or about there being none; empty where all is well. */
export function standing(connection: Pick<Connection, "state" | "kernelVersion"> | null): string {
  if (!connection) return trans.__("Open a notebook to chat about it.");
  switch (connection.state) {
    case "none":
      return trans.__("Waiting for the kernel…");
    case "foreign":
      return trans.__("The model lives in Python kernels; this kernel is of another language.");
    case "absent":
      return trans.__("jupyter_llm is not loaded in this kernel.");
    case "differs":
      return trans.__(
        "This page has jupyter_llm %1 and the kernel %2. Install the same version for both, then restart the kernel and load the page again.",
        VERSION,
        connection.kernelVersion ?? "?",
      );
    default:
      return "";
  }
}

/** Why jupyter_llm could not be loaded, and what helps. */
export function loadFailure(reason: string): string {
  return /no module named '?jupyter_llm'?/i.test(reason)
    ? trans.__(
        "It is not installed where this kernel runs. From a clone: %1",
        "pip install '.[smollm2]'",
      )
    : trans.__("It could not be loaded: %1", reason);
}
