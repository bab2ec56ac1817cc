/** The one comm between a notebook in this page and its kernel, which comes again when it was lost. */

import type { Kernel, KernelMessage, Session } from "@jupyterlab/services";
import { UUID } from "@lumino/coreutils";
import type { IDisposable } from "@lumino/disposable";
import { type ISignal, Signal } from "@lumino/signaling";
import { trans } from "../dom/words.js";
import { leftBehind, remember } from "./leftovers.js";
import type { Message, Numbered, PanelNews, Request } from "./messages.js";
import { PROTOCOL, TARGET } from "./messages.js";
import { commsOf, presenceIn } from "./presence.js";
import { Requests, type Sent } from "./requests.js";

/**
 * How a connection stands:
 *
 * - `none`: no kernel, or one that has not answered yet
 * - `foreign`: a kernel of another language, in which there is nothing for us
 * - `absent`: jupyter_llm is not loaded in the kernel
 * - `open`: all is well; `differs`: the kernel's jupyter_llm speaks in another way than we do
 */
export type ConnectionState = "none" | "foreign" | "absent" | "open" | "differs";

/** So long the subshell of a comm is waited for; without one, messages wait for the cell that runs. */
const SUBSHELL_MS = 2000;

/** What CommHandler has and `Kernel.IComm` does not declare. */
type SubshellComm = Kernel.IComm & { subshellId?: string | null; subshellStarted?: Promise<void> };

/** A document as this needs to know it: its kernel's session, and where it lies. */
export interface Place {
  readonly sessionContext: {
    readonly session: Pick<Session.ISessionConnection, "kernel"> | null;
    readonly kernelChanged: ISignal<unknown, unknown>;
  };
  readonly localPath: string;
  readonly pathChanged?: ISignal<unknown, string> | undefined;
}

/** The connection of one notebook to its kernel. */
export class Connection implements IDisposable {
  readonly client = UUID.uuid4();
  /** The extension's. */
  readonly stateChanged = new Signal<this, ConnectionState>(this);
  /** All that comes for the page itself, answers included. */
  readonly received = new Signal<this, Message>(this);
  /** All that comes for the chats that it shows. */
  readonly panelReceived = new Signal<this, PanelNews>(this);

  isDisposed = false;
  readonly #place: Place;
  readonly #requests = new Requests(this.client, (message) => this.#send(message));
  #kernel: Kernel.IKernelConnection | null = null;
  #comm: SubshellComm | null = null;
  #attempt: Promise<void> | null = null;
  #numReceived = 0;
  #state: ConnectionState = "none";
  #kernelVersion: string | null = null;

  constructor(place: Place) {
    this.#place = place;
    place.sessionContext.kernelChanged.connect(this.#follow, this);
    place.pathChanged?.connect(this.#greet, this);
    window.addEventListener("pagehide", this.#leave);
    this.#follow();
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The version of jupyter_llm in the kernel, if it has said so: it may differ from ours. */
  get kernelVersion(): string | null {
    return this.#kernelVersion;
  }

  /** Ask something; `onNews` hears how far it is. The reply fails where there is no connection. */
  request(request: Request, onNews?: (message: Message) => void): Sent {
    return this.#requests.post(request, onNews);
  }

  /** Send what the front end of a chat says, whose requests are its own, if there is a connection. */
  tell(panel: string, message: Record<string, unknown>): void {
    if (this.#state === "open" && this.#comm) this.#post(this.#comm, { panel, message });
  }

  /** Load jupyter_llm in the kernel, and connect; fails with what the kernel says. */
  async load(): Promise<void> {
    const kernel = this.#kernel;
    if (!kernel) throw new Error(trans.__("There is no kernel."));
    const code = "%load_ext jupyter_llm";
    const reply = await kernel.requestExecute({ code, store_history: false }).done;
    const { status } = reply.content;
    // A cell before it failed, and the kernel dropped all that waited: it has not run at all.
    if ((status === "aborted" || status === "abort") && kernel === this.#kernel) return this.load();
    if (status !== "ok") {
      const { evalue } = reply.content as Partial<KernelMessage.IReplyErrorContent>;
      throw new Error(evalue ?? trans.__("The connection to the kernel was lost."));
    }
    await this.connect();
  }

  /** Try to connect, unless that is done. */
  connect(): Promise<void> {
    if (this.#attempt) return this.#attempt;
    const isStale = (): boolean => attempt !== this.#attempt;
    const attempt: Promise<void> = this.#connect(isStale).finally(() => {
      if (attempt === this.#attempt) this.#attempt = null;
    });
    this.#attempt = attempt;
    return attempt;
  }

  async #connect(isStale: () => boolean): Promise<void> {
    const kernel = this.#kernel;
    if (!kernel || this.#comm || this.isDisposed) return;
    const { language_info } = await kernel.info;
    if (isStale()) return;
    if (language_info.name !== "python") return this.#setState("foreign");
    const comms = await commsOf(kernel);
    if (isStale()) return;
    if (!comms.has(TARGET)) return this.#setState("absent");
    const comm: SubshellComm = kernel.createComm(TARGET);
    await subshellOf(comm, kernel);
    if (isStale()) return comm.dispose();
    this.#comm = comm;
    this.#numReceived = 0;
    comm.onMsg = ({ content }) => this.#take(comm, content.data as never);
    comm.open();
    for (const { comm: id, subshell } of await leftBehind(kernel.id)) {
      if (comms.has(id)) {
        const left: SubshellComm = kernel.createComm(TARGET, id);
        await subshellOf(left, kernel); // Jupyter counts who shares one
        left.close();
      }
      if (subshell) kernel.requestDeleteSubshell({ subshell_id: subshell });
    }
    if (isStale()) return;
    const subshell = comm.subshellId ?? null;
    remember(this.client, { kernel: kernel.id, comm: comm.commId, subshell });
    const { reply } = this.#requests.post(this.#hello);
    const welcome = await reply.catch(() => null); // not understood at all
    if (isStale()) return;
    if (welcome?.type !== "welcome") return this.#setState("differs");
    this.#kernelVersion = welcome.version;
    this.#setState(welcome.protocol === PROTOCOL ? "open" : "differs");
  }

  #tryToConnect(): void {
    this.connect().catch(() => {}); // the kernel has gone meanwhile; there will be another
  }

  dispose(): void {
    if (this.isDisposed) return;
    this.isDisposed = true;
    this.#leave();
    window.removeEventListener("pagehide", this.#leave);
    Signal.clearData(this);
  }

  get #hello(): Request {
    const { client } = this;
    return { type: "hello", protocol: PROTOCOL, client, path: this.#place.localPath };
  }

  /** Follow the kernel that the notebook has now. */
  #follow(): void {
    const kernel = this.#place.sessionContext.session?.kernel ?? null;
    if (kernel === this.#kernel) return;
    if (this.#kernel) Signal.disconnectBetween(this.#kernel, this);
    this.#close("none");
    this.#kernel = kernel;
    if (!kernel) return;
    kernel.statusChanged.connect(this.#watch, this);
    kernel.connectionStatusChanged.connect(this.#reach, this);
    kernel.iopubMessage.connect(this.#overhear, this);
    this.#tryToConnect();
  }

  /** After a restart the kernel is another one, though Jupyter's connection to it is not. */
  #watch(_: unknown, status: Kernel.Status): void {
    if (["restarting", "autorestarting", "dead", "terminating"].includes(status)) {
      this.#lose("none"); // Jupyter disposes of the comm
    } else if (status === "idle" && this.#state === "none") this.#tryToConnect();
  }

  /** Once the network is down, nobody knows what will be missed. */
  #reach(_: unknown, status: Kernel.ConnectionStatus): void {
    if (status === "connected") {
      this.#close("none"); // not before: with a farewell to send, Jupyter is seconds late
      this.#tryToConnect();
    } else this.#giveUp("none");
  }

  #overhear(_: unknown, message: KernelMessage.IIOPubMessage): void {
    const isThere = presenceIn(message);
    if (isThere === true) {
      if (!this.#comm) this.#attempt = null; // it may be told of the time before
      this.#tryToConnect();
    } else if (isThere === false) this.#close("absent");
  }

  #greet(): void {
    if (this.#state === "open") this.request(this.#hello);
  }

  #take(comm: Kernel.IComm, data: Numbered | (PanelNews & { seq: number })): void {
    if (comm !== this.#comm) return;
    this.#numReceived += 1;
    if (data.seq !== this.#numReceived) {
      this.#close("none"); // something was lost on the way, as when there is too much of it
      this.#tryToConnect();
      return;
    }
    if ("panel" in data) {
      this.panelReceived.emit(data);
      return;
    }
    if (data.type === "anybody") this.#greet();
    this.#requests.take(data);
    this.received.emit(data);
  }

  #send(message: Request & { id: string }): void {
    const comm = this.#state === "open" || message.type === "hello" ? this.#comm : null;
    if (!comm) throw new Error(trans.__("The kernel is not connected."));
    this.#post(comm, message);
  }

  #post(comm: Kernel.IComm, message: object): void {
    try {
      comm.send(message as never);
    } catch {
      this.#lose("none"); // Jupyter has disposed of it meanwhile
    }
  }

  readonly #leave = (): void => this.#close("none");

  /** Let the kernel know that nobody listens any more. */
  #close(state: ConnectionState): void {
    const comm = this.#comm;
    this.#lose(state);
    if (!comm || comm.isDisposed) return;
    try {
      comm.close();
    } catch {
      // the kernel is dead
    }
  }

  #lose(state: ConnectionState): void {
    this.#comm = null;
    this.#giveUp(state);
  }

  #giveUp(state: ConnectionState): void {
    this.#attempt = null;
    this.#kernelVersion = null;
    this.#requests.fail(trans.__("The connection to the kernel was lost."));
    this.#setState(state);
  }

  #setState(state: ConnectionState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.stateChanged.emit(state);
  }
}

/** Wait until a comm has its subshell. Where there is none, its promise is never kept. */
async function subshellOf(comm: SubshellComm, kernel: Kernel.IKernelConnection): Promise<void> {
  if (!kernel.supportsSubshells || comm.commsOverSubshells === "disabled") return;
  const late = new Promise<void>((resolve) => setTimeout(resolve, SUBSHELL_MS));
  await Promise.race([comm.subshellStarted, late]);
}
