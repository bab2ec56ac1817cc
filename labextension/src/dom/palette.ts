/** Our commands in the palette, where names say whose they are: it shows those of everybody. */

import type { ICommandPalette } from "@jupyterlab/apputils";
import type { TranslationBundle } from "@jupyterlab/translation";

/** A command's label: with our name before it in the palette, as it is in our own menus. */
export function named(label: string): (args: { isPalette?: unknown }) => string {
  return ({ isPalette }) => (isPalette === true ? `LLM: ${label}` : label);
}

export function addToPalette(
  palette: ICommandPalette | null,
  command: string,
  trans: TranslationBundle,
): void {
  palette?.addItem({ command, category: trans.__("Language Model"), args: { isPalette: true } });
}
