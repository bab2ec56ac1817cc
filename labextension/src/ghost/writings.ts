/** The documents of a page in which somebody writes, each with the kernel that is asked. */

import { PathExt } from "@jupyterlab/coreutils";
import type { INotebookTracker, NotebookPanel } from "@jupyterlab/notebook";
import type { Session } from "@jupyterlab/services";
import { Signal } from "@lumino/signaling";
import type { Widget } from "@lumino/widgets";
import type { Connections } from "../connection/connections.js";
import { isPythonFile, notebookDesk, otherDesk } from "./desks.js";
import { DocumentGhost, type Listener } from "./document_ghost.js";

type KernelSession = Session.ISessionConnection | null;

/** Has the kernel of a session asked from now on. */
type Connect = (session: KernelSession) => Promise<void>;

export class Writings {
  readonly #connections: Connections;
  readonly #tracker: INotebookTracker;
  readonly #listener: Listener;
  readonly #all = new WeakMap<Widget, DocumentGhost>();
  /** For what is no notebook: those connect by themselves. */
  readonly #connects = new WeakMap<Widget, Connect>();

  constructor(connections: Connections, tracker: INotebookTracker, listener: Listener) {
    this.#connections = connections;
    this.#tracker = tracker;
    this.#listener = listener;
    connections.added.connect((_, { panel, connection }) => {
      this.#all.set(panel, new DocumentGhost(notebookDesk(panel), connection, listener));
    });
  }

  /** The ghost text in a widget, once somebody has written there. */
  of(widget: Widget | null): DocumentGhost | null {
    return (widget && this.#all.get(widget)) ?? null;
  }

  /**
   * The ghost text in a widget in which somebody writes; null in what is no document.
   *
   * A console asks its own kernel, a file that of its console, else that of a notebook beside it,
   * of the one in front if it is there. Both are connected once somebody writes there.
   */
  async at(widget: Widget, own: KernelSession): Promise<DocumentGhost | null> {
    if (!this.#all.has(widget)) this.#addOther(widget);
    await this.#connects.get(widget)?.(this.#sessionFor(widget, own));
    return this.of(widget);
  }

  #addOther(widget: Widget): void {
    const desk = otherDesk(widget);
    if (!desk) return;
    const sessionContext = {
      session: null as KernelSession,
      kernelChanged: new Signal<Widget, void>(widget),
    };
    const changed = () => sessionContext.kernelChanged.emit();
    // No notebook lies there: the kernel lets no code land in what has no path.
    const connection = this.#connections.open({ sessionContext, localPath: "" });
    widget.disposed.connect(() => connection.dispose());
    this.#all.set(widget, new DocumentGhost(desk, connection, this.#listener));
    this.#connects.set(widget, async (session) => {
      if (session !== sessionContext.session) {
        sessionContext.session?.kernelChanged.disconnect(changed);
        session?.kernelChanged.connect(changed);
        sessionContext.session = session;
        changed();
      }
      // Each key that comes until then waits, since the last one is the one that is answered.
      if (connection.state === "none") await connection.connect().catch(() => {}); // it has gone
    });
  }

  #sessionFor(widget: Widget, own: KernelSession): KernelSession {
    if (own || !isPythonFile(widget)) return own;
    const folder = PathExt.dirname(widget.context.localPath);
    return this.#sessionOf((panel) => PathExt.dirname(panel.context.localPath) === folder);
  }

  /** The session of a notebook that is connected. */
  #sessionOf(isWanted: (panel: NotebookPanel) => boolean): KernelSession {
    const isThere = (panel: NotebookPanel) =>
      isWanted(panel) && this.#connections.of(panel).state === "open";
    const { currentWidget } = this.#tracker;
    const panel =
      currentWidget && isThere(currentWidget) ? currentWidget : this.#tracker.find(isThere);
    return panel?.sessionContext.session ?? null;
  }
}
