/** Characters that hide, or change how the text around them looks, shown for what they are. */

// Emoji and other symbols, and letters of scripts in which a joiner says how two of them join.
const SYMBOLS = String.raw`\xA9\xAE\u203C\u2049\u2100-\u2BFF\u3030\u303D\u3297\u3299\u{1F000}-\u{1FAFF}`;
const JOINED = String.raw`[${SYMBOLS}\uFE0F\u0600-\u0DFF\u1000-\u109F\u1780-\u18AF]`;

// `common/controls.py` says the same; tests/data/controls.json holds the two together.
const HIDDEN = new RegExp(
  [
    // What commands a terminal, turns the direction of writing, takes no room, or is half a character.
    String.raw`[\0-\x08\x0B-\x1F\x7F-\x9F\xAD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B`,
    String.raw`\u200E\u200F\u2028-\u202E\u2060-\u206F\u3164\u{D800}-\u{DFFF}\uFE00-\uFE0D\uFEFF\uFFA0`,
    String.raw`\uFFF0-\uFFFB\u{1BCA0}-\u{1BCA3}\u{1D173}-\u{1D17A}\u{E0000}-\u{E0FFF}]`,
    // How a symbol looks, and joiners, but where they do what they are for.
    String.raw`|(?<![${SYMBOLS}])[\uFE0E\uFE0F](?!\u20E3)`,
    String.raw`|(?<!${JOINED})[\u200C\u200D]|[\u200C\u200D](?!${JOINED})`,
  ].join(""),
  "gu",
);

/** The text with each such character as its number: `[U+202E]`. */
export function withVisibleControls(text: string): string {
  return text.replace(HIDDEN, (hidden) => {
    const number = hidden.codePointAt(0)?.toString(16).toUpperCase() ?? "";
    return `[U+${number.padStart(4, "0")}]`;
  });
}

/** Count the code points before a place, as the kernel does; the browser counts UTF-16 units. */
export function codePoints(text: string, offset: number): number {
  return [...text.slice(0, offset)].length;
}

/** The part of a text between two places that are counted in code points. */
export function fromCodePoints(text: string, start: number, end: number): string {
  return [...text].slice(start, end).join("");
}
