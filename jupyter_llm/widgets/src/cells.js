/** The notebook that a panel is in, where the page lets it in: JupyterLab 4 and Notebook 7. */

/** @import { AnyModel } from "@anywidget/types" */
/** @import { Attachment, Transcript } from "./messages.js" */

/** @typedef {{ id: string, index: number, source: string, type: string }} Cell */
/** @typedef {{ source: string, metadata?: Record<string, unknown> }} NewCell */

/**
 * @typedef {object} Notebook
 * @property {() => Cell | null} activeCell
 * @property {() => Cell | null} ownCell  The cell whose output the panel is in.
 * @property {(id: string) => Cell | null} cell
 * @property {() => Attachment | null} attachCell  The active cell's source.
 * @property {() => Attachment | null} attachOutput  The active cell's output.
 * @property {(cells: NewCell[], anchorId?: string) => Promise<void>} insertBelow
 * @property {(id: string, source: string, metadata?: Record<string, unknown>) => boolean} replace
 * @property {(panelId: string, transcript: Transcript) => void} writeTranscript
 * @property {(listener: () => void) => () => void} onActiveCellChanged
 */

/**
 * Return the notebook that an element of a widget's view is in, or null where it is out of reach.
 *
 * @param {AnyModel} _model
 * @param {HTMLElement} _element
 * @returns {Notebook | null}
 */
export function createNotebook(_model, _element) {
  return null;
}
