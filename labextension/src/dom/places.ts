/** The places of popups. */

/**
 * Have a button open a dialog below it, or above it where there is no room, in the top layer: nothing
 * cuts it off. A click elsewhere or Escape closes it. `places.css` puts it there.
 */
export function openBeside(
  button: HTMLButtonElement,
  popup: HTMLElement,
  onToggle: (isOpen: boolean) => unknown,
): void {
  popup.popover = "auto";
  popup.classList.add("jllm-beside");
  button.popoverTargetElement = popup;
  button.ariaHasPopup = "dialog";
  popup.addEventListener("toggle", (event) => onToggle((event as ToggleEvent).newState === "open"));
  popup.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.isComposing) return;
    event.preventDefault(); // it means this, and nothing around it
    popup.hidePopover();
    button.focus();
  });
}
