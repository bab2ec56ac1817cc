/** The one place where HTML of ours becomes elements: only what is listed here comes through. */

import createPurifier from "dompurify";
import { WEB_ADDRESS } from "./parser.js";

const HTML_TAGS = [
  ...["p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li"],
  ...["em", "strong", "s", "code", "pre", "a", "span"],
  ...["table", "thead", "tbody", "tr", "th", "td"],
];
const MATHML_TAGS = [
  ...["math", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "mstyle", "mpadded", "mphantom"],
  ...["mfrac", "msqrt", "mroot", "menclose", "msub", "msup", "msubsup", "munder", "mover"],
  ...["munderover", "mmultiscripts", "mtable", "mtr", "mtd", "mlabeledtr"],
];
const PLAIN_ATTRIBUTES = [
  ...["start", "align"],
  ...["display", "displaystyle", "scriptlevel", "mathvariant", "mathcolor", "mathsize", "notation"],
  ...["form", "stretchy", "fence", "separator", "symmetric", "largeop", "movablelimits", "accent"],
  ...["accentunder", "lspace", "rspace", "minsize", "maxsize", "linethickness", "width", "height"],
  ...["depth", "columnalign", "columnspacing", "columnlines", "rowspacing", "rowlines"],
];

// An instance of our own: hooks and settings of others on the page are not ours, nor ours theirs.
const purifier = createPurifier(window);
purifier.setConfig({
  ALLOWED_TAGS: [...HTML_TAGS, ...MATHML_TAGS],
  ALLOWED_ATTR: ["href", ...PLAIN_ATTRIBUTES],
  ADD_URI_SAFE_ATTR: PLAIN_ATTRIBUTES,
  ALLOWED_URI_REGEXP: WEB_ADDRESS,
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  FORBID_CONTENTS: ["annotation", "annotation-xml", "script", "style", "template", "title"],
  RETURN_DOM_FRAGMENT: true,
});
purifier.addHook("afterSanitizeAttributes", (element) => {
  // In MathML any element could be a link.
  if (element.tagName !== "A") element.removeAttribute("href");
});

/** HTML as elements, without anything that runs, loads, is styled or can be named. */
export function sanitized(html: string): DocumentFragment {
  return purifier.sanitize(html, { RETURN_DOM_FRAGMENT: true });
}
