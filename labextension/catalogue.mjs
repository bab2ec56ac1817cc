/** Gathers the texts of the page for translators: `node catalogue.mjs > jupyter_llm.pot`. */

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const HERE = new URL("./", import.meta.url);
const HEAD = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"';

const LITERAL = String.raw`\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*[,)]`;
/** What says something, by the one name that translators' tools look for, and what it says. */
const SAYS = new RegExp(String.raw`([\w.#]*)\.(__|_n)\((?:${LITERAL})?(?:${LITERAL})?`, "g");

/** @type {[RegExp, string][]} Which texts of a schema Jupyter's server translates, and as what. */
const IN_SCHEMAS = [
  [/^\/(title|description)$/, "schema"],
  [/^\/(properties\/.*\/(title|description)|jupyter\.lab\.setting-icon-label)$/, "settings"],
  [/^\/jupyter\.lab\.menus\/.*\/label$/, "menu"],
];

/** Return the catalogue: sorted, and each text once. */
export function catalogue() {
  const said = new Set([...read("src", ".ts", inSource), ...read("schema", ".json", inSchema)]);
  return `${[HEAD, ...[...said].sort()].join("\n\n")}\n`;
}

/** @type {(source: string) => string[]} What TypeScript says; fails where no tool could find it. */
export function inSource(source) {
  return [...source.matchAll(SAYS)].map(([call, speaker, name, one = "", many = ""]) => {
    if (speaker !== "trans" || !one || (name === "_n" && !many)) {
      throw new Error(`Translators cannot find ${call}…: say trans.__("…")`);
    }
    const text = (/** @type {string} */ quoted) =>
      quoted.startsWith("'") ? JSON.stringify(quoted.slice(1, -1)) : quoted;
    if (name === "__") return `msgid ${text(one)}\nmsgstr ""`;
    return `msgid ${text(one)}\nmsgid_plural ${text(many)}\nmsgstr[0] ""\nmsgstr[1] ""`;
  });
}

/** @type {(schema: string) => string[]} What the titles and labels of settings say. */
function inSchema(schema) {
  /** @type {(value: unknown, path: string) => string[]} */
  const found = (value, path) => {
    if (value && typeof value === "object") {
      return Object.entries(value).flatMap(([key, part]) => found(part, `${path}/${key}`));
    }
    const context = IN_SCHEMAS.find(([pattern]) => pattern.test(path))?.[1];
    return context ? [`msgctxt "${context}"\nmsgid ${JSON.stringify(value)}\nmsgstr ""`] : [];
  };
  return found(JSON.parse(schema), "");
}

/** @type {(folder: string, end: string, find: (text: string) => string[]) => string[]} */
function read(folder, end, find) {
  const names = readdirSync(new URL(folder, HERE), { recursive: true, encoding: "utf8" });
  const files = names.filter((name) => name.endsWith(end) && !name.endsWith("dom/words.ts"));
  return files.flatMap((name) => find(readFileSync(new URL(`${folder}/${name}`, HERE), "utf8")));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.stdout.write(catalogue());
