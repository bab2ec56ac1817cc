/** The places of popups. */

/** Put a popup below a button, or above it where there is no room; always within the window. */
function placeBeside(popup: HTMLElement, button: HTMLElement): void {
  const at = button.getBoundingClientRect();
  const { width, height } = popup.getBoundingClientRect();
  const hasRoom = at.bottom + height < window.innerHeight;
  const left = Math.min(at.left, window.innerWidth - width - 4);
  popup.style.left = `${Math.max(4, left)}px`;
  popup.style.top = `${hasRoom ? at.bottom + 2 : Math.max(4, at.top - height - 2)}px`;
}

/**
 * Have a button open a dialog beside it, in the top layer: nothing cuts it off. A click elsewhere
 * or Escape closes it.
 */
export function openBeside(
  button: HTMLButtonElement,
  popup: HTMLElement,
  onToggle: (isOpen: boolean) => void,
): void {
  popup.popover = "auto";
  button.popoverTargetElement = popup;
  button.setAttribute("aria-haspopup", "dialog");
  popup.addEventListener("toggle", (event) => onToggle((event as ToggleEvent).newState === "open"));
  popup.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.isComposing) return;
    event.preventDefault(); // it means this, and nothing around it
    popup.hidePopover();
    button.focus();
  });
  new ResizeObserver(() => placeBeside(popup, button)).observe(popup); // it grows as it fills
}
