/** The text of cells' outputs, which a prompt can include. */

/** An output as notebook files hold it. */
export interface Output {
  output_type: string;
  text?: string | string[];
  data?: Record<string, unknown>;
  metadata?: Record<string, unknown>;
  ename?: string;
  evalue?: string;
  traceback?: string[];
}

/** The kinds of text an output may have, the most telling first. */
const TEXT_TYPES = ["text/markdown", "text/latex", "text/plain"];

/** Longer texts keep their beginning and their end: more would fill a small model's context. */
const MOST_CHARACTERS = 20_000;

// Colours of tracebacks and progress bars.
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what they are
const ESCAPE_SEQUENCES = /\u001B\[[0-9;?]*[A-Za-z]/g;

/** A cell as JupyterLab holds it; one of text has no outputs. */
interface Model {
  outputs?: { length: number; get(index: number): { toJSON(): unknown } };
}

export function outputsOf({ outputs }: Model): Output[] {
  const length = outputs?.length ?? 0;
  return Array.from({ length }, (_, index) => outputs?.get(index).toJSON() as Output);
}

/** Return the text of outputs, without widgets and pictures. */
export function outputsText(outputs: Output[]): string {
  return outputs
    .map((output) => outputText(output).replace(ESCAPE_SEQUENCES, "").trimEnd())
    .filter((text) => text)
    .join("\n");
}

function outputText({ text, data, traceback, ename, evalue }: Output): string {
  if (text !== undefined) return joined(text);
  if (traceback?.length) return traceback.join("\n");
  if (ename !== undefined) return `${ename}: ${evalue}`;
  // A widget's text only says that it is one.
  if (!data || "application/vnd.jupyter.widget-view+json" in data) return "";
  const type = TEXT_TYPES.find((name) => data[name] !== undefined);
  return type === undefined ? "" : joined(data[type]);
}

/** `text` is one string, or its lines. */
function joined(text: unknown): string {
  return Array.isArray(text) ? text.join("") : String(text);
}

/** Leave out the middle of a text that is too long to go along. */
export function shortened(text: string): string {
  if (text.length <= MOST_CHARACTERS) return text;
  const half = MOST_CHARACTERS / 2;
  const [first = "", last = ""] = [text.slice(0, half), text.slice(-half)].map(withoutHalves);
  // Without half of a line, which may be half of a secret.
  const [start, end] = [first.replace(/\n[^\n]*$/, ""), last.replace(/^[^\n]*\n/, "")];
  const numLeftOut = text.length - start.length - end.length;
  return `${start}\n[… ${numLeftOut} characters left out …]\n${end}`;
}

/** Leave out half a character at either end, which a kernel could not even encode. */
export function withoutHalves(text: string): string {
  return text.replace(/^[\uDC00-\uDFFF]|[\uD800-\uDBFF]$/g, "");
}
