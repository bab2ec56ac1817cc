/** Elements made in one line each, and what several parts of the panel do with them. */

import type { LabIcon } from "@jupyterlab/ui-components";
import type { Menu } from "@lumino/widgets";
import { withVisibleControls } from "./characters.js";
import { trans } from "./words.js";

/** Make an element with its class or its properties, and children; show hidden characters of texts. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  properties: string | Partial<HTMLElementTagNameMap[Tag]>,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  if (typeof properties !== "string") Object.assign(element, properties);
  else if (properties) element.className = properties;
  const shown = (one: Node | string) => (typeof one === "string" ? withVisibleControls(one) : one);
  element.append(...children.map(shown));
  return element;
}

/**
 * Make a button; `isPlain` has no frame until it is pointed at. With an `icon` of `icons.css` it
 * shows that in the place of its label where the chat is narrow.
 */
export function makeButton(
  label: string,
  onClick: (event: MouseEvent) => void,
  {
    isPlain = true,
    className = "",
    icon = "",
    ...properties
  }: Partial<HTMLButtonElement> & { isPlain?: boolean; icon?: string } = {},
): HTMLButtonElement {
  const kind = isPlain ? "jllm-button jllm-plain-button" : "jllm-button";
  const all = { ...properties, type: "button", className: `${kind} ${className}`.trim() } as const;
  const button = make("button", icon ? { title: label, ...all } : all, label);
  if (icon) button.dataset.icon = icon;
  button.addEventListener("click", onClick);
  return button;
}

/** Make a button that shows an icon of JupyterLab's. */
export function iconButton(icon: LabIcon, name: string, onClick: () => void): HTMLButtonElement {
  const shown = icon.element({ tag: "span", elementSize: "normal" });
  const properties = { type: "button", title: name, ariaLabel: name, onclick: onClick } as const;
  return make("button", { className: "jllm-icon-button", ...properties }, shown);
}

/** Make one that opens a menu; the focus comes back to it. `onOpen` is called before. */
export function menuButton(
  icon: LabIcon,
  name: string,
  menu: Menu,
  onOpen = () => {},
): HTMLButtonElement {
  const comeBack = () => {
    menu.aboutToClose.disconnect(comeBack);
    button.focus();
  };
  const button = iconButton(icon, name, () => {
    onOpen();
    const { left, bottom } = button.getBoundingClientRect();
    menu.open(left, bottom);
    menu.aboutToClose.connect(comeBack);
  });
  button.ariaHasPopup = "menu";
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
  button.dataset.name ??= button.textContent;
  button.textContent = text;
  setTimeout(() => {
    if (button.textContent !== text) return;
    button.textContent = button.dataset.name ?? text;
    delete button.dataset.name;
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
  const element = make("span", { className: "jllm-bar", ariaHidden: "true" }, fill);
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
  const copy = async () => {
    const word = (await copyText(text())) ? trans.__("Copied") : trans.__("Not copied");
    flash(button, word);
    say(word);
  };
  const button = makeButton(trans.__("Copy"), copy, { icon: "copy" });
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
export function makeScrollable(element: HTMLElement, ariaLabel: string): void {
  Object.assign(element, { tabIndex: 0, role: "group", ariaLabel });
}

/** Make what a screen reader says though nobody goes there. It has to be on the page before something is said. */
export function createAnnouncer(): { element: HTMLElement; say: (text: string) => void } {
  const element = make("div", { className: "jllm-hidden jllm-announcer", role: "status" });
  return {
    element,
    say(text) {
      // A new node, since the same words said twice would be no change.
      element.replaceChildren(make("span", "", text));
    },
  };
}
