/** Files that are dropped where prompts are written: JupyterLab's, its tabs, and the desktop's. */

import type { Attachment } from "../connection/messages.js";
import { trans } from "../dom/words.js";
import type { Notebook } from "../page/cells.js";
import { shortened } from "../page/outputs.js";

const EVENTS = ["dragenter", "dragover", "dragleave", "drop"];
const PATHS = "application/x-jupyter-icontents";
const TAB = "application/vnd.lumino.widget-factory";
const MOST_BYTES = 100_000; // of a file of the desktop

/** What JupyterLab drags, which Lumino tells in events of its own. */
interface Dragged {
  mimeData?: { getData: (mime: string) => unknown; hasData: (mime: string) => boolean };
  proposedAction: string;
  dropAction: string;
}

/**
 * Take the files that are dropped on an element: the kernel reads JupyterLab's, the page those of
 * the desktop. `take` is told why one cannot be had.
 */
export function takeDrops(
  element: HTMLElement,
  notebook: Notebook | null,
  take: (attachment: Attachment | null, reason: string) => void,
): void {
  for (const type of [...EVENTS, ...EVENTS.map((name) => `lm-${name}`)]) {
    element.addEventListener(type, (event) => {
      const drag = event as DragEvent & Dragged;
      const { dataTransfer, mimeData } = drag;
      const isInLab = notebook !== null && [PATHS, TAB].some((mime) => mimeData?.hasData(mime));
      if (!isInLab && !dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      event.stopPropagation(); // the notebook behind it takes files, too
      if (isInLab) drag.dropAction = drag.proposedAction;
      element.classList.toggle("jllm-is-target", /(?:enter|over)$/.test(type));
      if (!type.endsWith("drop")) return;
      const paths = isInLab && mimeData ? pathsIn(mimeData) : [];
      for (const path of paths) take({ label: notebook?.wayTo(path) ?? path, text: null }, "");
      for (const file of dataTransfer?.files ?? []) void read(file);
    });
  }

  async function read(file: File): Promise<void> {
    const text = await file
      .slice(0, MOST_BYTES)
      .text()
      .catch(() => "\0"); // a folder
    const isText = !text.includes("\0");
    const reason = trans.__("%1 is no text.", file.name);
    take(isText ? { label: file.name, text: shortened(text) } : null, reason);
  }
}

function pathsIn(dragged: NonNullable<Dragged["mimeData"]>): string[] {
  if (dragged.hasData(PATHS)) return dragged.getData(PATHS) as string[];
  const widget = (dragged.getData(TAB) as () => { context?: { path?: string } } | undefined)();
  return widget?.context?.path ? [widget.context.path] : [];
}
