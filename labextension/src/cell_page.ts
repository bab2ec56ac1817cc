/** Lets the kernel look after the cells it has made: what anywidget calls of a widget without views. */

import type { AnyModel } from "@anywidget/types";
import { randomId } from "./dom/random_id.js";
import { clientOf, createNotebook, type NewCell, type Notebook } from "./page/cells.js";

/** A cell, and what it held when it was looked at. */
interface Place {
  id: string;
  before: string;
}

/**
 * What is wanted of a page: of the one that runs the cell, or else told of its cells. `key` is
 * where the metadata of a cell says for which one it was made.
 */
type Wish = { id: number; page: string | null; cell: string; key: string } & (
  | { type: "made" }
  | { type: "put"; cells: NewCell[]; places: Place[] }
  | { type: "change"; wanted: NewCell; place: Place }
);

/**
 * When a page says that it is there. JupyterLab makes the subshell of a comm when it gets to know the
 * comm, and what is sent before that is done waits for the cell that runs.
 */
const GREETINGS_MS = [0, 200, 500, 1000, 1500, 3000];

/** How long others with the notebook wait for the page that runs the cell, which may have been closed. */
const STAND_IN_MS = 1000;

export default {
  initialize({ model }: { model: AnyModel }): (() => void) | undefined {
    const notebook = createNotebook(model, document.createElement("div"));
    if (!notebook) return undefined;
    const greet = () => {
      try {
        model.send({ type: "hello" });
      } catch {
        // the kernel has gone within these seconds, and its comm with it
      }
    };
    const timers = GREETINGS_MS.map((ms) => setTimeout(greet, ms));
    const fulfil = (wish: Wish) => {
      const said = { id: wish.id, page: clientOf(model.widget_manager) };
      try {
        const answer = fulfilled(notebook, wish);
        if (answer) model.send({ type: "answer", ...answer, ...said });
      } catch (error) {
        model.send({ type: "failed", ...said });
        throw error;
      }
    };
    const take = (wish: Wish) => {
      if (wish.page === clientOf(model.widget_manager)) fulfil(wish);
      else if (wish.type === "made") timers.push(setTimeout(() => fulfil(wish), STAND_IN_MS));
    };
    model.on("msg:custom", take);
    return () => {
      timers.forEach(clearTimeout);
      model.off("msg:custom", take);
      notebook.dispose();
    };
  },
};

/** Do what the kernel wants, and return what there is to say. Null if the page has no such cell. */
function fulfilled(notebook: Notebook, wish: Wish): object | null {
  if (!notebook.cell(wish.cell)) return null;
  switch (wish.type) {
    case "made":
      return { cells: notebook.madeFor(wish.cell, wish.key) };
    case "put":
      return { num_replaced: put(notebook, wish) };
    case "change":
      return { is_done: isReplaced(notebook, wish.place, wish.wanted) };
  }
}

/** Put the first of some cells in place of others, the rest below; tell how many took a place. */
function put(
  notebook: Notebook,
  { cell: anchorId, cells, places, key }: Wish & { type: "put" },
): number {
  let lastId = anchorId;
  const left = cells.filter((cell, index) => {
    const place = places[index];
    if (!place || !isReplaced(notebook, place, named(cell, place.id, key))) return true;
    lastId = place.id;
    return false;
  });
  const added = left.map((cell) => named(cell, randomId(), key));
  if (added.length > 0) void notebook.insertBelow(added, lastId);
  return cells.length - left.length;
}

/** A cell that says which one it is: a copy that the user makes of it is theirs. */
function named({ source, metadata = {} }: NewCell, id: string, key: string): NewCell {
  const made = metadata[key] as object;
  return { id, source, metadata: { ...metadata, [key]: { ...made, id } } };
}

/** Replace a cell, and tell whether that could be: not where it has changed meanwhile. */
function isReplaced(
  notebook: Notebook,
  { id, before }: Place,
  { source, metadata = {} }: NewCell,
): boolean {
  const isAsBefore = notebook.cell(id)?.source.trimEnd() === before.trimEnd();
  return isAsBefore && notebook.replace(id, source, metadata);
}
