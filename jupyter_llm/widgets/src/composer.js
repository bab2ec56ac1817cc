/** Where prompts are written. */

/** @import { Notebook } from "./cells.js" */
/** @import { SuggestionKind } from "./messages.js" */
/** @import { Store } from "./store.js" */

/** @typedef {(kind: SuggestionKind, name: string) => Promise<string>} Describe */

/**
 * @typedef {object} Composer
 * @property {HTMLElement} element
 * @property {() => void} focus
 * @property {() => void} dispose
 */

/**
 * @param {{ store: Store, notebook: Notebook | null, describe?: Describe }} parts
 * @returns {Composer}
 */
export function createComposer({ store, notebook }) {
  void [store, notebook];
  const element = document.createElement("form");
  element.className = "jllm-composer";
  return { element, focus() {}, dispose() {} };
}
