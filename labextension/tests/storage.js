/** The storage of a browser's tab. */

/** Give the process an empty one, and return its texts. */
export function openStorage() {
  /** @type {Map<string, string>} */
  const kept = new Map();
  const value = {
    getItem: (/** @type {string} */ key) => kept.get(key) ?? null,
    setItem: (/** @type {string} */ key, /** @type {string} */ text) => kept.set(key, text),
    removeItem: (/** @type {string} */ key) => kept.delete(key),
  };
  Object.defineProperty(globalThis, "sessionStorage", { value, configurable: true });
  return kept;
}
