/** Elements made in one line each, and what several parts of the panel do with them. */

import { withVisibleControls } from "./characters.js";
import { trans } from "./words.js";

/** Make an element of a class, with what is in it: no character of a text stays hidden. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  className: string,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  if (className) element.className = className;
  const shown = (one: Node | string) => (typeof one === "string" ? withVisibleControls(one) : one);
  element.append(...children.map(shown));
  return element;
}

/** Make a button; `isPlain` has no frame until it is pointed at. */
export function makeButton(
  label: string,
  onClick: (event: MouseEvent) => void,
  { isPlain = true, className = "" }: { isPlain?: boolean; className?: string } = {},
): HTMLButtonElement {
  const kind = isPlain ? "jllm-button jllm-plain-button" : "jllm-button";
  const button = make("button", `${kind} ${className}`.trim(), label);
  button.type = "button";
  button.addEventListener("click", onClick);
  return button;
}

/** Write a text without hidden characters, but leave the page alone where it says so already. */
export function setText(element: HTMLElement, text: string): void {
  const shown = withVisibleControls(text);
  if (element.textContent !== shown) element.textContent = shown;
}

/**
 * Put elements into a parent in their order, and move only what is out of place: what moves loses
 * the focus and the selection.
 */
export function arrange(parent: HTMLElement, wanted: readonly HTMLElement[]): void {
  const kept = new Set(wanted);
  for (const child of [...parent.children]) {
    if (!(child instanceof HTMLElement && kept.has(child))) child.remove();
  }
  let place = parent.firstElementChild;
  for (const element of wanted) {
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
}

/** Say something on a button for a moment, in the place of its name. */
export function flash(button: HTMLButtonElement, text: string): void {
  const name = button.dataset.name ?? button.textContent;
  button.dataset.name = name;
  button.textContent = text;
  setTimeout(() => {
    if (button.textContent === text) button.textContent = name;
  }, 1500);
}

/** Copy a text. Pages that are not secure have only the old way. Tells whether it worked. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = make("textarea", "jllm-hidden");
    const focused = document.activeElement;
    field.value = text;
    document.body.append(field);
    field.select();
    const isCopied = document.execCommand("copy");
    field.remove();
    if (focused instanceof HTMLElement) focused.focus();
    return isCopied;
  }
}

/** Make a bar that shows a share, for eyes only: the words beside it say the same. */
export function createBar(): { element: HTMLElement; show: (share: number | null) => void } {
  const fill = make("span", "jllm-bar-fill");
  const element = make("span", "jllm-bar", fill);
  element.setAttribute("aria-hidden", "true");
  return {
    element,
    show(share) {
      element.hidden = share === null;
      if (share !== null) fill.style.inlineSize = `${Math.round(100 * share)}%`;
    },
  };
}

/** Make a button that copies a text, and says whether that worked. */
export function copyButton(text: () => string, say = (_: string) => {}): HTMLButtonElement {
  const button = makeButton(trans.__("Copy"), async () => {
    const word = (await copyText(text())) ? trans.__("Copied") : trans.__("Not copied");
    flash(button, word);
    say(word);
  });
  return button;
}

/** Make the entries of a list of facts; what has no value is left out. */
export function factEntries(
  facts: readonly (readonly [string, string | undefined])[],
): HTMLElement[] {
  return facts.flatMap(([name, value]) =>
    value ? [make("dt", "", name), make("dd", "", value)] : [],
  );
}

/** Let the keyboard reach an element that scrolls by itself, and say what it is. */
export function makeScrollable(element: HTMLElement, label: string): void {
  element.tabIndex = 0;
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", label);
}

/** Make what a screen reader says though nobody goes there. It has to be on the page before something is said. */
export function createAnnouncer(): { element: HTMLElement; say: (text: string) => void } {
  const element = make("div", "jllm-hidden jllm-announcer");
  element.setAttribute("role", "status");
  return {
    element,
    say(text) {
      // A new node, since the same words said twice would be no change.
      element.replaceChildren(make("span", "", text));
    },
  };
}
