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

const LANGUAGES = { bash, cpp, css, diff, javascript, json, markdown, python, r, sql, xml, yaml };
const ALIASES = {
  bash: ["console", "shell"],
  javascript: ["typescript", "ts", "tsx"],
  python: ["ipython", "ipython3", "python3"],
};

/** Longer code is shown in one colour: nobody waits for the colours of a log file. */
const LONGEST_COLOURED = 50_000;

// One piece of what highlight.js writes: a tag of its own, or text with five kinds of entities.
const PIECES = /<span class="([\w -]+)">|(<\/span>)|([^<]+)/g;
const ENTITIES = /&(amp|lt|gt|quot|#x27);/g;
const CHARACTERS: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', "#x27": "'" };

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
  if (shown.length > LONGEST_COLOURED || !hljs.getLanguage(language)) {
    const elements = document.createDocumentFragment();
    elements.append(shown);
    return { elements, isWhole: true };
  }
  const html = hljs.highlight(shown, { language, ignoreIllegals: true }).value;
  // Spans that are still open at the end are closed there, after the last character.
  return { elements: elementsOf(html), isWhole: !html.endsWith("</span>") };
}

/** Build the elements that highlight.js wrote as HTML: spans with its classes, and text. */
function elementsOf(html: string): DocumentFragment {
  const fragment = document.createDocumentFragment();
  const open: (DocumentFragment | HTMLElement)[] = [fragment];
  for (const [, className, end, text] of html.matchAll(PIECES)) {
    const parent = open.at(-1) ?? fragment;
    if (className) {
      const span = document.createElement("span");
      span.className = className;
      parent.append(span);
      open.push(span);
    } else if (end) {
      open.pop();
    } else if (text) {
      parent.append(text.replace(ENTITIES, (_, name) => CHARACTERS[name] ?? ""));
    }
  }
  return fragment;
}
