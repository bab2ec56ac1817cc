/** The record of a suggestion in the cell in which it was accepted. */

import type { ISharedCell } from "@jupyter/ydoc";
import type { JSONObject } from "@lumino/coreutils";
import { COMPLETED, piecesOf, written } from "../dom/pieces.js";
import { placeOf, type Suggestion } from "./suggestion.js";

/** Note whose are the lines, as they are now, from its place to the cursor; no step for undo. */
export function noteTaken({ place, model, sheet, editor }: Suggestion): void {
  if (editor.isDisposed || !("setMetadata" in sheet.model.sharedModel)) return; // a file keeps none
  const sharedModel = sheet.model.sharedModel as ISharedCell;
  const { prefix, suffix } = placeOf(editor);
  const { length } = place.prefix;
  const text = prefix.slice(length);
  const [start, end] = [prefix.length - text.trimStart().length, length + text.trimEnd().length];
  if (start >= end) return;
  const [rest] = `${prefix}${suffix}`.slice(end).split("\n", 1);
  const lines = `${prefix.slice(prefix.lastIndexOf("\n", start - 1) + 1, end)}${rest}`;
  const records = written(sharedModel.getMetadata(COMPLETED));
  const own = records.find((one) => one?.model === model);
  const before = place.prefix + place.suffix; // of what stood there nothing is noted
  const pieces = piecesOf(lines, before, sharedModel.getSource(), own?.pieces);
  if (!pieces) return;
  const others = records.filter((one) => one && one.model !== model) as JSONObject[];
  const all = [{ model, time: new Date().toISOString(), pieces }, ...others];
  sharedModel.transact(() => sharedModel.setMetadata(COMPLETED, all), false);
}
