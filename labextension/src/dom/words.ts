/** The words of the page: every text that a person reads goes through `trans`, in both halves. */

/** The part that we use of JupyterLab's translation bundles; the first value replaces `%1`. */
export interface Words {
  __(text: string, ...values: (string | number)[]): string;
  _n(one: string, many: string, count: number, ...values: (string | number)[]): string;
}

const filled = (text: string, values: (string | number)[]) =>
  text.replace(/%(\d+)/g, (mark, place) => String(values[Number(place) - 1] ?? mark));

/** Scripts that are loaded apart speak alike: the extension's, the side bar's panel, a widget's. */
const page = globalThis as { jupyterLlmWords?: Words };

/** A page that knows no languages says it as it is written. */
export let trans: Words = page.jupyterLlmWords ?? {
  __: (text, ...values) => filled(text, values),
  _n: (one, many, count, ...values) => filled(count === 1 ? one : many, [count, ...values]),
};

/** The page's language, for numbers and dates. */
export function language(): string | undefined {
  return globalThis.document?.documentElement.lang || undefined;
}

/** A number as the page's language writes it. */
export function inWords(number: number, options: Intl.NumberFormatOptions = {}): string {
  return number.toLocaleString(language(), options);
}

/** Names one beside the other, as the page's language lists them. */
export function listed(names: Iterable<string>): string {
  return new Intl.ListFormat(language(), { style: "short", type: "unit" }).format(names);
}

/** Say everything in the page's language from now on. */
export function speak(words: Words): void {
  trans = words;
  page.jupyterLlmWords = words;
}
