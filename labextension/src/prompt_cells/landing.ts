/** Lets code that a `%%llm` cell wrote land in its notebook. */

import type { Connection } from "../connection/connection.js";
import type { Connections } from "../connection/connections.js";
import { NotebookDocument } from "../page/document.js";

/** Put cells wherever a kernel says; several views of a notebook do so once. */
export function letLand(connections: Pick<Connections, "added">): void {
  const heard = new WeakSet<Connection>();
  connections.added.connect((_, { panel, connection }) => {
    if (heard.has(connection)) return;
    heard.add(connection);
    const { context } = panel; // it lives as long as any view
    connection.received.connect((_, message) => {
      if (message.type !== "put-cells") return;
      const { id: target, cell, cells, before } = message;
      const landing = new NotebookDocument(context.model).land(cell, cells, before);
      connection.call("landed", { target, landing });
    });
  });
}
