/** The examples of messages that both sides test with. */

import { readdirSync, readFileSync } from "node:fs";

const PANEL = new URL("../../tests/frontends/panel/messages/", import.meta.url);
const LAB = new URL("../../tests/frontends/lab/messages/", import.meta.url);

/**
 * @param {string} name
 * @param {URL} folder
 */
function read(name, folder) {
  return JSON.parse(readFileSync(new URL(`${name}.json`, folder), "utf8"));
}

/**
 * Return an example of what a chat panel and the kernel say, changed.
 *
 * @param {string} name
 * @param {object} [changes]
 * @returns {any}
 */
export function example(name, changes = {}) {
  return { ...read(name, PANEL), ...changes };
}

/**
 * Return an example of what the JupyterLab extension and the kernel say, changed.
 *
 * @param {string} name
 * @param {object} [changes]
 * @returns {any}
 */
export function labExample(name, changes = {}) {
  return { ...read(name, LAB), ...changes };
}

/** The names of all examples of what the JupyterLab extension and the kernel say. */
export const LAB_EXAMPLES = readdirSync(LAB).map((name) => name.replace(/\.json$/, ""));
