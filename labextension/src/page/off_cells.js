/** Cells that the model is not to see. */

const OFF_TAGS = new Set(["llm-off", "llm-hide"]);

/**
 * Tell whether a cell's tags keep it out of what the page tells by itself.
 *
 * @param {{ getMetadata(key: string): unknown }} cell
 * @returns {boolean}
 */
export function isOff(cell) {
  const tags = cell.getMetadata("tags");
  return Array.isArray(tags) && tags.some((tag) => OFF_TAGS.has(tag));
}
