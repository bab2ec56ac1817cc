/** The examples of messages that both sides test with. */

import { readdirSync, readFileSync } from "node:fs";

const FOLDER = new URL("../../tests/frontends/comm/messages/", import.meta.url);

/**
 * Return an example of what a front end and the kernel say, changed.
 *
 * @param {string} name
 * @param {object} [changes]
 * @returns {any}
 */
export function example(name, changes = {}) {
  return { ...JSON.parse(readFileSync(new URL(`${name}.json`, FOLDER), "utf8")), ...changes };
}

/** An example of each method: its `arguments` and the `value` of its reply. */
/** @type {Record<string, any>} */
export const CALLS = JSON.parse(readFileSync(new URL("../calls.json", FOLDER), "utf8"));

/** The names of all examples. */
export const EXAMPLES = readdirSync(FOLDER).map((name) => name.replace(/\.json$/, ""));
