/** The examples of messages that both sides test with. */

import { readFileSync } from "node:fs";

const FOLDER = new URL("../../tests/frontends/panel/messages/", import.meta.url);

/**
 * Return an example, changed.
 *
 * @param {string} name
 * @param {object} [changes]
 * @returns {any}
 */
export function example(name, changes = {}) {
  return { ...JSON.parse(readFileSync(new URL(`${name}.json`, FOLDER), "utf8")), ...changes };
}
