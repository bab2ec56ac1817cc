/** Places in a text: the kernel counts code points, the browser halves of some of them. */

/**
 * Return how many code points stand before a place.
 *
 * @param {string} text
 * @param {number} offset
 * @returns {number}
 */
export function codePoints(text, offset) {
  return [...text.slice(0, offset)].length;
}

/**
 * Return the part of a text between two places that are counted in code points.
 *
 * @param {string} text
 * @param {number} start
 * @param {number} end
 * @returns {string}
 */
export function fromCodePoints(text, start, end) {
  return [...text].slice(start, end).join("");
}
