/** Names of characters, such as `&copy;`: browsers know them, so that no list has to be sent. */

const box = document.createElement("textarea"); // what is written into it is text, never elements

/** The character of a name: the bundle takes this in the place of the library `entities`. */
export function decodeHTMLStrict(name: string): string {
  box.innerHTML = name;
  return box.value;
}
