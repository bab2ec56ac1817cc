/** Who writes where in a page, and whose kernel is asked what comes next. */

import type { CodeEditor } from "@jupyterlab/codeeditor";
import { PathExt } from "@jupyterlab/coreutils";
import type { INotebookTracker, NotebookPanel } from "@jupyterlab/notebook";
import type { Session } from "@jupyterlab/services";
import type { Widget } from "@lumino/widgets";
import type { Connection } from "../connection/connection.js";
import type { Connections } from "../connection/connections.js";
import { type Desk, type FileLike, isPythonFile, notebookDesk, otherDesk } from "./desks.js";
import { DocumentGhost, type Listener } from "./document_ghost.js";

/** A view in which somebody writes, and the ghost text there. */
export interface Writing {
  desk: Desk;
  ghost: DocumentGhost;
}

/** What is no notebook has a connection of its own, to the kernel of one session. */
interface Other extends Writing {
  session: Session.ISessionConnection | null;
  connection: Connection;
}

export class Writings {
  readonly #connections: Connections;
  readonly #listener: Listener;
  readonly #ghosts = new WeakMap<Connection, DocumentGhost>();
  readonly #notebooks = new WeakMap<Widget, Writing>();
  readonly #others = new WeakMap<Widget, Other>();
  /** The notebooks that were in front, the last one at the end. */
  readonly #panels = new Set<NotebookPanel>();

  constructor(connections: Connections, tracker: INotebookTracker, listener: Listener) {
    this.#connections = connections;
    this.#listener = listener;
    connections.added.connect((_, { panel, connection }) => {
      const ghost = this.#ghosts.get(connection) ?? new DocumentGhost(connection, listener);
      this.#ghosts.set(connection, ghost);
      const desk = notebookDesk(panel);
      this.#notebooks.set(panel, { desk, ghost });
      ghost.add(desk);
      panel.disposed.connect(() => this.#panels.delete(panel));
    });
    tracker.currentChanged.connect((_, panel) => {
      if (!panel) return;
      this.#panels.delete(panel);
      this.#panels.add(panel);
    });
  }

  /** The editor of a widget in which somebody writes. */
  editorIn(widget: Widget): CodeEditor.IEditor | null {
    return (this.#notebooks.get(widget) ?? this.#others.get(widget))?.desk.sheet?.editor ?? null;
  }

  /**
   * Who writes in a widget; null where there is no kernel to ask.
   *
   * A console asks its own kernel, a file that of its console, else that of the notebook beside it
   * that was in front last. Both are connected once somebody writes there.
   */
  async at(widget: Widget, own: Session.ISessionConnection | null): Promise<Writing | null> {
    const notebook = this.#notebooks.get(widget);
    if (notebook) return notebook;
    const known = this.#others.get(widget);
    const desk = known?.desk ?? otherDesk(widget);
    const session = this.#sessionFor(widget, own);
    if (known?.session === session) return known;
    known?.connection.dispose();
    if (known) known.session = null;
    if (!desk || !session) return null;
    const { localPath = session.path, pathChanged } =
      (widget as Widget & Partial<FileLike>).context ?? {};
    const sessionContext = { session, kernelChanged: session.kernelChanged };
    const connection = this.#connections.open({ sessionContext, localPath, pathChanged });
    const ghost = known?.ghost ?? new DocumentGhost(connection, this.#listener);
    if (known) ghost.connect(connection);
    else ghost.add(desk);
    this.#others.set(widget, { desk, ghost, session, connection });
    widget.disposed.connect(() => connection.dispose());
    await connection.connect().catch(() => {}); // the kernel has gone meanwhile
    return { desk, ghost };
  }

  #sessionFor(widget: Widget, own: Session.ISessionConnection | null) {
    // Jupyter lets one connection to a kernel have comms: a console beside a notebook has none.
    if (own?.kernel?.handleComms === false)
      return this.#last(
        ({ sessionContext: { session } }) => session?.kernel?.id === own.kernel?.id,
      );
    if (own || !isPythonFile(widget)) return own;
    const folder = PathExt.dirname(widget.context.localPath);
    return this.#last((panel) => PathExt.dirname(panel.context.localPath) === folder);
  }

  /** The session of the notebook that was in front last, of some that are connected. */
  #last(isMeant: (panel: NotebookPanel) => boolean): Session.ISessionConnection | null {
    const panel = [...this.#panels].findLast(
      (one) => isMeant(one) && this.#connections.of(one).state === "open",
    );
    return panel?.sessionContext.session ?? null;
  }
}
