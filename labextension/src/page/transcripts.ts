/** The conversation of a panel as its notebook keeps it: an output below the panel. */

import type { Transcript } from "../connection/messages.js";
import { type CellModel, type NotebookModel, refusalOf } from "./document.js";

/** Transcripts that are hidden because their panel is shown. */
const HIDDEN = ".jp-OutputArea:has(.jllm-panel) .jp-OutputArea-output:has(.jupyter-llm-transcript)";

/**
 * Replace the transcript that is saved below a panel, if there is one. The other outputs of the
 * cell, and so the panel itself, stay as they are.
 */
export function writeTranscript(
  notebook: NotebookModel,
  panelId: string,
  { data, metadata }: Transcript,
): void {
  leaveMath();
  const { cells } = notebook;
  for (let place = 0; place < cells.length && refusalOf(notebook) === null; place += 1) {
    const { outputs } = cells.get(place);
    const index = transcriptIndex(outputs, panelId);
    if (index < 0) continue;
    const old = outputs?.get(index).toJSON();
    const output = { ...old, output_type: "display_data", data, metadata };
    if (JSON.stringify(output) !== JSON.stringify(old)) outputs?.set(index, output);
  }
}

/** The place of a panel's transcript among the outputs of a cell, or -1. */
function transcriptIndex(outputs: CellModel["outputs"], panelId: string): number {
  for (let index = 0; index < (outputs?.length ?? 0); index += 1) {
    if (outputs?.get(index).metadata.jupyter_llm_transcript === panelId) return index;
  }
  return -1;
}

/** Keep MathJax from formulas that nobody sees: those of a long chat take it seconds each time. */
function leaveMath(): void {
  for (const node of document.querySelectorAll(HIDDEN)) node.classList.add("mathjax_ignore");
}
