/** Files, cells and texts that are dropped or pasted where prompts are written. */

import type { Attachment } from "../connection/messages.js";
import { trans } from "../dom/words.js";
import type { Notebook } from "../page/cells.js";
import { shortened, withoutHalves } from "../page/outputs.js";

const EVENTS = ["dragenter", "dragover", "dragleave", "drop"];
const PATHS = "application/x-jupyter-icontents";
const TAB = "application/vnd.lumino.widget-factory";
const CELLS = "internal:cells";
const LONG = 4000; // characters of a pasted text that hides the prompt around it
const MOST_BYTES = 65_000; // of a file of the desktop: as many as the kernel tells of any

/** The part that we use of the events that Lumino makes where JupyterLab drags something. */
interface Dragged {
  mimeData?: { getData: (mime: string) => unknown; hasData: (mime: string) => boolean };
  proposedAction: string;
  dropAction: string;
}

/**
 * Take the files and cells that are dropped on an element. The kernel reads JupyterLab's files; the
 * page reads the start of files from the desktop. If one cannot be read, `take` gets the reason.
 */
export function takeDrops(
  element: HTMLElement,
  notebook: Notebook | null,
  take: (found: Attachment | string) => void,
): void {
  for (const type of [...EVENTS, ...EVENTS.map((name) => `lm-${name}`)]) {
    element.addEventListener(type, (event) => {
      const drag = event as DragEvent & Dragged;
      const { dataTransfer, mimeData } = drag;
      const isInLab =
        notebook !== null && [PATHS, TAB, CELLS].some((mime) => mimeData?.hasData(mime));
      if (!isInLab && !dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      event.stopPropagation(); // the notebook behind it takes files, too
      if (isInLab) drag.dropAction = drag.proposedAction;
      element.classList.toggle("jllm-is-target", /(?:enter|over)$/.test(type));
      if (!type.endsWith("drop")) return;
      const paths = isInLab && mimeData ? pathsIn(mimeData) : [];
      const cells = (isInLab && mimeData?.getData(CELLS)) as
        | { model: { id: string } }[]
        | undefined;
      for (const { model } of cells || []) take(notebook?.attachCell(model.id) ?? "");
      for (const path of paths) take(notebook?.attachFile(path) ?? "");
      for (const file of dataTransfer?.files ?? []) void read(file);
    });
  }
  element.addEventListener("paste", (event) => {
    const { files, types = [] } = event.clipboardData ?? {};
    const text = event.clipboardData?.getData("text/plain") ?? "";
    // A text of an office program comes with a picture of it.
    const isFile = files?.length && !types.includes("text/plain");
    if (!isFile && text.length < LONG) return;
    event.preventDefault();
    if (isFile) for (const file of files) void read(file);
    else {
      // Of two texts with one label, the second would replace the first.
      const start = withoutHalves(text.trim().slice(0, 30)).replace(/\s+/g, " ");
      const label = trans.__("Pasted text, %1 characters: %2…", text.length, start);
      take({ label, text: shortened(text) });
    }
  });

  async function read(file: File): Promise<void> {
    const bytes = await file
      .slice(0, MOST_BYTES)
      .arrayBuffer()
      .catch(() => new ArrayBuffer(1)); // a folder
    const start = new TextDecoder().decode(bytes, { stream: true }); // half a character is left out
    if (start.includes("\0")) take(trans.__("%1 is no text.", file.name));
    else take({ label: file.name, text: { start, size: file.size } });
  }
}

function pathsIn(dragged: NonNullable<Dragged["mimeData"]>): string[] {
  if (dragged.hasData(PATHS)) return dragged.getData(PATHS) as string[];
  const find = dragged.getData(TAB) as
    | (() => { context?: { path?: string } } | undefined)
    | undefined;
  const widget = find?.();
  return widget?.context?.path ? [widget.context.path] : [];
}
