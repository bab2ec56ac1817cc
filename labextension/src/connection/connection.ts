/** The one comm between a notebook in this page and its kernel, which comes again when it was lost. */

import type { ISessionContext } from "@jupyterlab/apputils";
import type { Kernel, KernelMessage } from "@jupyterlab/services";
import { UUID } from "@lumino/coreutils";
import type { IDisposable } from "@lumino/disposable";
import { type ISignal, Signal } from "@lumino/signaling";
import { isMessage, type Message, PROTOCOL, type Request, TARGET } from "./messages.js";
import { Requests, type Sent } from "./requests.js";
import { reapSubshell, rememberSubshell } from "./subshells.js";

/**
 * How a connection stands:
 *
 * - `none`: no kernel, or one that is busy starting
 * - `foreign`: a kernel of another language, in which there is nothing for us
 * - `absent`: jupyter_llm is not loaded in the kernel
 * - `open`: all is well; `differs`: the kernel's jupyter_llm speaks in another way than we do
 */
export type ConnectionState = "none" | "foreign" | "absent" | "open" | "differs";

/** So long the subshell of a comm is waited for; without one, messages wait for the cell that runs. */
const SUBSHELL_MS = 2000;

/** What CommHandler has and `Kernel.IComm` does not declare. */
type SubshellComm = Kernel.IComm & { subshellId?: string | null; subshellStarted?: Promise<void> };

/** A notebook as this needs to know it: its kernel's session, and where it lies. */
export interface Place {
  readonly sessionContext: ISessionContext;
  readonly path: string;
  readonly pathChanged: ISignal<unknown, string>;
}

/** The connection of one notebook to its kernel. `version` is the extension's. */
export class Connection implements IDisposable {
  readonly client = UUID.uuid4();
  readonly stateChanged: ISignal<this, ConnectionState>;
  /** All that comes, answers included. */
  readonly received: ISignal<this, Message>;

  readonly #place: Place;
  readonly #version: string;
  readonly #stateChanged: Signal<this, ConnectionState>;
  readonly #received: Signal<this, Message>;
  readonly #requests: Requests;
  #kernel: Kernel.IKernelConnection | null = null;
  #comm: SubshellComm | null = null;
  #attempt = 0;
  #state: ConnectionState = "none";
  #isWriter = false;
  #kernelVersion: string | null = null;
  #isDisposed = false;

  constructor(place: Place, version: string) {
    this.#place = place;
    this.#version = version;
    this.#stateChanged = new Signal(this);
    this.#received = new Signal(this);
    this.stateChanged = this.#stateChanged;
    this.received = this.#received;
    this.#requests = new Requests(this.client);
    place.sessionContext.kernelChanged.connect(this.#follow, this);
    place.pathChanged.connect(this.#move, this);
    window.addEventListener("pagehide", this.#leave);
    this.#follow();
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Whether cells that the kernel wants written are this page's to write. */
  get isWriter(): boolean {
    return this.#isWriter;
  }

  /** The version of jupyter_llm in the kernel, once it has said so. */
  get kernelVersion(): string | null {
    return this.#kernelVersion;
  }

  get isDisposed(): boolean {
    return this.#isDisposed;
  }

  /** Ask something; `onNews` hears how far it is. The reply fails where there is no connection. */
  request(request: Request, onNews?: (message: Message) => void): Sent {
    const sent = this.#requests.add(request, onNews);
    if (this.#state === "open" && this.#comm) this.#send(this.#comm, request, sent.id);
    else this.#requests.take({ type: "error", id: sent.id, text: "The kernel is not connected." });
    return sent;
  }

  /** Load jupyter_llm in the kernel, and connect; fails with what the kernel says. */
  async load(): Promise<void> {
    const kernel = this.#kernel;
    if (!kernel) throw new Error("There is no kernel.");
    const code = "%load_ext jupyter_llm";
    const reply = await kernel.requestExecute({ code, store_history: false }).done;
    if (reply.content.status !== "ok") {
      const { evalue } = reply.content as KernelMessage.IReplyErrorContent;
      throw new Error(evalue);
    }
    await this.connect();
  }

  /** Try to connect, unless that is done. */
  async connect(): Promise<void> {
    const kernel = this.#kernel;
    if (!kernel || this.#state === "open" || this.#isDisposed) return;
    this.#attempt += 1;
    const attempt = this.#attempt;
    const isStale = () => attempt !== this.#attempt || this.#isDisposed;
    const { language_info } = await kernel.info;
    if (isStale()) return;
    if (language_info.name !== "python") {
      this.#setState("foreign");
      return;
    }
    const [earlier, comm] = [this.#comm, kernel.createComm(TARGET) as SubshellComm];
    this.#comm = comm;
    if (earlier && !earlier.isDisposed) earlier.dispose();
    comm.onMsg = ({ content }) => {
      if (comm === this.#comm && isMessage(content.data)) this.#take(content.data);
    };
    comm.onClose = () => {
      if (comm === this.#comm) this.#lose("absent");
    };
    await subshellOf(comm, kernel);
    if (isStale()) return;
    rememberSubshell(kernel.id, comm.subshellId ?? null);
    comm.open();
    const { id, reply } = this.#requests.add(this.#hello);
    this.#send(comm, this.#hello, id);
    const welcome = await reply.catch(() => null);
    if (isStale() || welcome?.type !== "welcome") return;
    this.#kernelVersion = welcome.version;
    this.#isWriter = welcome.is_writer;
    this.#setState(welcome.protocol === PROTOCOL ? "open" : "differs");
  }

  dispose(): void {
    if (this.#isDisposed) return;
    this.#leave();
    this.#isDisposed = true;
    window.removeEventListener("pagehide", this.#leave);
    Signal.clearData(this);
  }

  get #hello(): Request {
    const { client, notebook } = { client: this.client, notebook: this.#place.path };
    const path = this.#place.path;
    return { type: "hello", protocol: PROTOCOL, version: this.#version, client, notebook, path };
  }

  readonly #leave = (): void => {
    if (this.#comm && !this.#comm.isDisposed && this.#state === "open") {
      this.#send(this.#comm, { type: "bye" }, "bye");
    }
    this.#lose("none");
  };

  /** Follow the kernel that the notebook has now. */
  #follow(): void {
    const kernel = this.#place.sessionContext.session?.kernel ?? null;
    if (kernel === this.#kernel) return;
    if (this.#kernel) Signal.disconnectBetween(this.#kernel, this);
    this.#kernel?.statusChanged.disconnect(this.#watch, this);
    this.#kernel?.iopubMessage.disconnect(this.#overhear, this);
    this.#lose("none");
    this.#kernel = kernel;
    if (!kernel) return;
    kernel.statusChanged.connect(this.#watch, this);
    kernel.iopubMessage.connect(this.#overhear, this);
    void reapSubshell(kernel).then(() => this.connect());
  }

  /** After a restart the kernel is another one, though the connection to it is not. */
  #watch(_kernel: Kernel.IKernelConnection, status: Kernel.Status): void {
    if (["restarting", "autorestarting", "dead", "terminating"].includes(status))
      this.#lose("none");
    else if (status === "idle" && this.#state === "none" && !this.#comm) void this.connect();
  }

  /** Connect once a cell has run that may have loaded us, also while an attempt is on its way. */
  #overhear(_kernel: Kernel.IKernelConnection, message: KernelMessage.IIOPubMessage): void {
    if (this.#state === "open" || message.header.msg_type !== "execute_input") return;
    const { code } = (message as KernelMessage.IExecuteInputMsg).content;
    if (!/jupyter_llm/.test(code)) return;
    const parent = (message.parent_header as KernelMessage.IHeader).msg_id;
    const kernel = this.#kernel;
    const wait = (_: unknown, later: KernelMessage.IIOPubMessage) => {
      const { msg_type } = later.header;
      const isEnd =
        msg_type === "status" &&
        (later.content as { execution_state?: string }).execution_state === "idle";
      if (isEnd && (later.parent_header as KernelMessage.IHeader).msg_id === parent) {
        kernel?.iopubMessage.disconnect(wait);
        void this.connect();
      }
    };
    kernel?.iopubMessage.connect(wait);
  }

  #move(_: unknown, path: string): void {
    if (this.#state === "open") this.request({ type: "path", path });
  }

  #take(message: Message): void {
    if (message.type === "writer") this.#isWriter = message.is_writer;
    this.#requests.take(message);
    this.#received.emit(message);
  }

  #send(comm: Kernel.IComm, request: Request, id: string): void {
    try {
      comm.send({ ...request, id } as never);
    } catch {
      this.#lose("absent"); // the kernel has closed it meanwhile
    }
  }

  #lose(state: ConnectionState): void {
    this.#attempt += 1;
    const comm = this.#comm;
    this.#comm = null;
    this.#isWriter = false;
    if (comm && !comm.isDisposed) comm.dispose();
    this.#requests.fail("The connection to the kernel was lost.");
    this.#setState(state);
  }

  #setState(state: ConnectionState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#stateChanged.emit(state);
  }
}

/** Wait until a comm has its subshell. Where there is none, its promise is never kept. */
async function subshellOf(comm: SubshellComm, kernel: Kernel.IKernelConnection): Promise<void> {
  if (!kernel.supportsSubshells || comm.commsOverSubshells === "disabled") return;
  const late = new Promise<void>((resolve) => setTimeout(resolve, SUBSHELL_MS));
  await Promise.race([comm.subshellStarted, late]);
}
