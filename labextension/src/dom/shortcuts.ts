/** Keys that are pressed in the panel, and whether the page outside of the panel receives them. */

const MARK = "data-lm-suppress-shortcuts";
/** The class of elements that keep their keys. */
const KEPT = "jllm-keeps-keys";

/**
 * Keep the notebook's shortcuts from what is typed in an element; those of the whole page stay.
 *
 * In a notebook, single keys delete, copy and run cells, and with Ctrl they do more of that: Ctrl+Z
 * takes back a change of the active cell, also while the focus is in a text of the panel. None of
 * it is meant here. What is asked of the application, such as saving or the command palette, is,
 * and the application listens for it on the body.
 *
 * JupyterLab looks at a key after the panel, so that stopping it is enough. Notebook 7 does so
 * before, and leaves only those keys alone whose very target is marked: an element around it comes
 * too late for shortcuts of whatever has the focus. The mark is there for that look alone, since
 * what is drawn of an answer is compared with what it is to be.
 */
export function keepShortcutsOut(element: HTMLElement): void {
  element.classList.add(KEPT);
  window.addEventListener("keydown", mark, { capture: true }); // once, however often this is said
  const unmark = ({ target }: KeyboardEvent) => {
    if (target instanceof Element) target.removeAttribute(MARK);
  };
  element.addEventListener("keydown", unmark, { capture: true });
  element.addEventListener("keydown", handOn);
  // JupyterLab forbids the undo of a text in a notebook once it has heard of the key.
  element.addEventListener("beforeinput", (event) => event.stopPropagation());
}

function mark({ target }: KeyboardEvent): void {
  if (target instanceof Element && target.closest(`.${KEPT}`)) target.setAttribute(MARK, "true");
}

/** Let the page hear of a key with Ctrl or Cmd that means nothing in the panel, but no cell. */
function handOn(event: KeyboardEvent): void {
  event.stopPropagation();
  const writes = event.getModifierState("AltGraph"); // the same as Ctrl+Alt on some keyboards
  if (event.defaultPrevented || writes || !(event.ctrlKey || event.metaKey)) return;
  const copy = new KeyboardEvent(event.type, event);
  if (!document.body.dispatchEvent(copy)) event.preventDefault();
}

/**
 * Let the keys of a notebook's command mode mean nothing in what is ours within a cell.
 *
 * There, with the focus on a button, X would cut the cell and Enter go into its editor. JupyterLab
 * leaves such keys out where somebody types, which the notebook says by its class until the focus
 * is elsewhere. All other keys mean what they mean.
 */
export function keepCommandKeysOut(): void {
  const keepOut = ({ target }: KeyboardEvent) => {
    if (!(target instanceof Element) || !target.closest('.jp-Cell [class*="jllm-"]')) return;
    target.closest(".jp-Notebook")?.classList.add("jp-mod-readWrite");
  };
  window.addEventListener("keydown", keepOut, { capture: true });
}
