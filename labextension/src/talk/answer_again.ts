/** The menu that asks for another answer to a prompt: again, with another seed, or a temperature. */

import { make, makeButton } from "../dom/elements.js";
import { placeBeside } from "../dom/places.js";

export interface Sampling {
  seed?: number;
  temperature?: number;
}

const TEMPERATURES = [0, 0.7, 1.2];
const HIGHEST_TEMPERATURE = 5;

/** Seeds are drawn from here: short enough to be written down. */
const NUM_SEEDS = 1_000_000;

/** Make the button with its menu. */
export function createAnswerAgain(onChoose: (sampling: Sampling) => void): HTMLElement {
  const button = makeButton("Answer again", () => open());
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");
  const menu = make("div", "jllm-menu-items");
  menu.setAttribute("role", "menu");
  menu.setAttribute("aria-label", "Answer again");
  const form = createTemperatureForm((temperature) => choose({ temperature }), close);
  // In the top layer nothing cuts it off, and a click beside it closes it.
  const popup = make("div", "jllm-menu", menu, form.element);
  popup.popover = "auto";

  const choose = (sampling: Sampling) => {
    close();
    onChoose(sampling);
  };
  menu.append(
    menuItem("Again", () => choose({})),
    menuItem("With another seed", () => choose({ seed: Math.floor(Math.random() * NUM_SEEDS) })),
    ...TEMPERATURES.map((temperature) =>
      menuItem(`At temperature ${temperature}`, () => choose({ temperature })),
    ),
    menuItem("At another temperature…", () => {
      menu.hidden = true;
      form.show();
      placeBeside(popup, button);
    }),
  );

  function open(): void {
    menu.hidden = false;
    form.element.hidden = true;
    popup.showPopover();
    placeBeside(popup, button);
    focusItem(menu, 0);
  }

  function close(): void {
    popup.hidePopover();
    button.focus();
  }

  button.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    open();
    if (event.key === "ArrowUp") focusItem(menu, -1);
  });
  popup.addEventListener("toggle", (event) => {
    const isOpen = (event as ToggleEvent).newState === "open";
    button.setAttribute("aria-expanded", String(isOpen));
  });
  popup.addEventListener("keydown", (event) => {
    // The row of buttons that the menu stands in has keys of its own.
    event.stopPropagation();
    const isMenu = form.element.hidden;
    if (event.key === "Escape") close();
    else if (isMenu && event.key === "Tab") popup.hidePopover();
    else if (isMenu) moveInMenu(event, menu);
    else return;
    if (event.key !== "Tab") event.preventDefault();
  });
  return make("span", "jllm-answer-again", button, popup);
}

function menuItem(label: string, onChoose: () => void): HTMLElement {
  const item = make("div", "jllm-menu-item", label);
  item.setAttribute("role", "menuitem");
  item.tabIndex = -1;
  item.addEventListener("click", onChoose);
  return item;
}

function focusItem(menu: HTMLElement, index: number): void {
  const item = [...menu.children].at(index);
  if (item instanceof HTMLElement) item.focus();
}

/** Do what a key does in a menu: move, choose, or find an item by its first letter. */
function moveInMenu({ key }: KeyboardEvent, menu: HTMLElement): void {
  const items = [...menu.children];
  const at = items.indexOf(document.activeElement as Element);
  if (key === "ArrowDown") focusItem(menu, (at + 1) % items.length);
  else if (key === "ArrowUp") focusItem(menu, at - 1);
  else if (key === "Home") focusItem(menu, 0);
  else if (key === "End") focusItem(menu, -1);
  else if (key === "Enter" || key === " ") {
    const item = items[at];
    if (item instanceof HTMLElement) item.click();
  }
}

function createTemperatureForm(
  onChoose: (temperature: number) => void,
  onCancel: () => void,
): { element: HTMLFormElement; show: () => void } {
  const field = make("input", "jllm-field");
  Object.assign(field, { type: "number", min: "0", max: String(HIGHEST_TEMPERATURE) });
  Object.assign(field, { step: "any", required: true, value: "1" });
  const answer = make("button", "jllm-button", "Answer");
  const element = make(
    "form",
    "jllm-temperature",
    make("label", "", "Temperature ", field),
    answer,
    makeButton("Cancel", onCancel),
  );
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    onChoose(field.valueAsNumber);
  });
  return {
    element,
    show() {
      element.hidden = false;
      field.focus();
      field.select();
    },
  };
}
