/** Colours for code: which languages there are, and source text to elements. */

import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import cpp from "highlight.js/lib/languages/cpp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import markdown from "highlight.js/lib/languages/markdown";
import python from "highlight.js/lib/languages/python";
import r from "highlight.js/lib/languages/r";
import sql from "highlight.js/lib/languages/sql";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { withVisibleControls } from "../dom/characters.js";
import { make } from "../dom/elements.js";

const LANGUAGES = { bash, cpp, css, diff, javascript, json, markdown, python, r, sql, xml, yaml };
const ALIASES = {
  bash: ["console", "shell"],
  javascript: ["typescript", "ts", "tsx"],
  python: ["ipython", "ipython3", "python3"],
};

/** Longer code is shown in one colour: nobody waits for the colours of a log file. */
const LONGEST_COLOURED = 50_000;

/** The tree that highlight.js returns, though its types do not say so: text in nested scopes. */
interface Found {
  scope?: string;
  children: (Found | string)[];
}

for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);
for (const [languageName, names] of Object.entries(ALIASES)) {
  hljs.registerAliases(names, { languageName });
}

/**
 * Code as text in coloured spans; without colours in a language that is not known.
 *
 * `isWhole` tells whether the code ends outside of any string, comment and the like, so that what
 * follows can be coloured by itself.
 */
export function highlighted(
  source: string,
  language: string,
): { elements: DocumentFragment; isWhole: boolean } {
  const shown = withVisibleControls(source);
  const elements = document.createDocumentFragment();
  if (shown.length > LONGEST_COLOURED || !hljs.getLanguage(language)) {
    elements.append(shown);
    return { elements, isWhole: true };
  }
  const { _emitter } = hljs.highlight(shown, { language, ignoreIllegals: true });
  const { children } = (_emitter as unknown as { root: Found }).root;
  elements.append(...children.map(coloured));
  elements.normalize();
  // What is still open at the end ends with it.
  return { elements, isWhole: typeof children.at(-1) !== "object" };
}

function coloured(found: Found | string): Node | string {
  if (typeof found === "string") return found;
  const [kind] = (found.scope ?? "").split(".");
  return make("span", `hljs-${kind}`, ...found.children.map(coloured));
}
