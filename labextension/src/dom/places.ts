/** Where popups stand. */

/** Put a popup below a button, or above it where there is no room; always within the window. */
export function placeBeside(popup: HTMLElement, button: HTMLElement): void {
  const at = button.getBoundingClientRect();
  const { width, height } = popup.getBoundingClientRect();
  const hasRoom = at.bottom + height < window.innerHeight;
  const left = Math.min(at.left, window.innerWidth - width - 4);
  popup.style.left = `${Math.max(4, left)}px`;
  popup.style.top = `${hasRoom ? at.bottom + 2 : Math.max(4, at.top - height - 2)}px`;
}
