/** Elements of the popup above the status bar. */

export function entry(tag: string, text: string | undefined): HTMLElement {
  const element = document.createElement(tag);
  element.textContent = text ?? "";
  return element;
}

export function button(text: string, onClick: () => void): HTMLButtonElement {
  const element = document.createElement("button");
  element.type = "button";
  element.className = "jp-mod-styled jllm-model-button";
  element.textContent = text;
  element.onclick = onClick;
  return element;
}
