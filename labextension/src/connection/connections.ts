/** The connections of all notebooks in this page, and of what else somebody writes in. */

import type { NotebookPanel } from "@jupyterlab/notebook";
import { Token } from "@lumino/coreutils";
import { Signal } from "@lumino/signaling";
import { Connection, type Place } from "./connection.js";

/** What other plugins ask for a notebook's connection. */
export type Connections = OpenConnections;

export const Connections = new Token<Connections>(
  "jupyter-llm:connections",
  "The connection of each notebook to jupyter_llm in its kernel.",
);

/** Makes connections as notebooks come, and ends them as they go. */
export class OpenConnections {
  /** A notebook was opened, and this is its connection. */
  readonly added = new Signal<this, { panel: NotebookPanel; connection: Connection }>(this);
  /** Something was connected, a notebook or not. */
  readonly opened = new Signal<this, Connection>(this);
  readonly #connections = new WeakMap<object, Connection>();

  /** The connection of the notebook that a panel shows; several views of one share it. */
  of({ context }: NotebookPanel): Connection {
    const known = this.#connections.get(context);
    if (known) return known;
    const connection = this.open(context);
    this.#connections.set(context, connection);
    context.disposed.connect(() => connection.dispose());
    return connection;
  }

  /** Connect what is no notebook; whoever does ends it. */
  open(place: Place): Connection {
    const connection = new Connection(place);
    this.opened.emit(connection);
    return connection;
  }

  /** Take in a notebook that was opened; its element says how the connection stands. */
  add(panel: NotebookPanel): void {
    const connection = this.of(panel);
    const show = () => {
      panel.node.dataset.jupyterLlm = connection.state;
    };
    show();
    connection.stateChanged.connect(show);
    panel.disposed.connect(() => connection.stateChanged.disconnect(show));
    this.added.emit({ panel, connection });
  }
}
