/** Cells that the model is not to see: their tags say so, as notebook/cells/timeline.py reads them. */

const OFF_TAGS = new Set(["llm-off", "llm-hide"]);

/** Whether a cell's tags keep it out of all that the page tells. */
export function isOff(cell: { getMetadata(key: string): unknown }): boolean {
  const tags = cell.getMetadata("tags");
  return Array.isArray(tags) && tags.some((tag) => OFF_TAGS.has(tag));
}
