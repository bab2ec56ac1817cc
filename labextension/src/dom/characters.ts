/** Characters that would change how the text around them looks, shown for what they are. */

// They turn the reading direction around, so that code or an address seems to be another. Marks
// and letters of languages that are written from the right need none of them.
const DIRECTION_CONTROLS = /[\u202A-\u202E\u2066-\u2069]/g;

/** The text with each such character as its number: `[U+202E]`. */
export function withVisibleControls(text: string): string {
  return text.replace(
    DIRECTION_CONTROLS,
    (control) => `[U+${control.charCodeAt(0).toString(16).toUpperCase()}]`,
  );
}
