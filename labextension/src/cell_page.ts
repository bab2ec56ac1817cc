/** Lets the kernel put code into cells of a page without the extension: a widget that nobody sees. */

import type { AnyModel } from "@anywidget/types";
import { type Message, PROTOCOL } from "./connection/messages.js";
import { clientOf } from "./page/cells.js";
import { modelOf, NotebookDocument } from "./page/document.js";

/**
 * When a page says that it is there. JupyterLab makes the subshell of a comm when it gets to know the
 * comm, and what is sent before that is done waits for the cell that runs.
 */
const GREETINGS_MS = [0, 200, 500, 1000, 1500, 3000];

export default {
  initialize({ model }: { model: AnyModel }): (() => void) | undefined {
    const found = modelOf(model.widget_manager);
    if (!found) return undefined;
    const notebook = new NotebookDocument(found);
    const client = clientOf(model.widget_manager);
    const greet = () => {
      try {
        model.send({ type: "hello", id: client, protocol: PROTOCOL, client, path: "" });
      } catch {
        // the kernel has gone within these seconds, and its comm with it
      }
    };
    const timers = GREETINGS_MS.map((ms) => setTimeout(greet, ms));
    const take = (message: Message) => {
      if (message.type === "anybody") greet();
      if (message.type !== "put-cells" || message.page !== client) return;
      const { id, cell, cells, before } = message;
      const landing = notebook.land(cell, cells, before);
      const result = { target: id, landing };
      model.send({ type: "call", id: client, method: "landed", arguments: result });
    };
    model.on("msg:custom", take);
    return () => {
      timers.forEach(clearTimeout);
      model.off("msg:custom", take);
    };
  },
};
