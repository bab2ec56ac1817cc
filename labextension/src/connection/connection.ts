/** The one comm between a notebook in this page and its kernel, which comes again when it was lost. */

import type { Kernel, KernelMessage, Session } from "@jupyterlab/services";
import { UUID } from "@lumino/coreutils";
import type { IDisposable } from "@lumino/disposable";
import { type ISignal, Signal } from "@lumino/signaling";
import { trans } from "../dom/words.js";
import { Comm, isLoaded, kernelInfo } from "./comm.js";
import type { Arguments, Call, Message, Numbered, PanelNews } from "./messages.js";
import { PROTOCOL, TARGET } from "./messages.js";
import { Requests } from "./requests.js";

/**
 * How a connection stands:
 *
 * - `none`: no kernel, or one that has not answered yet
 * - `foreign`: a kernel of another language, in which there is nothing for us
 * - `absent`: jupyter_llm is not loaded in the kernel
 * - `open`: all is well; `differs`: the kernel's jupyter_llm speaks in another way than we do
 */
export type ConnectionState = "none" | "foreign" | "absent" | "open" | "differs";

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
  #comm: Comm | null = null;
  /** The session of the kernel behind the comm: another one after a restart by somebody else. */
  #session = "";
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

  /** Call a method of the kernel, as `Requests` does. Fails where there is no connection. */
  readonly call: Requests["call"] = (method, args, onNews) =>
    this.#requests.call(method, args, onNews);

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
    const { language_info, supported_features = [] } = await kernelInfo(kernel);
    if (isStale()) return;
    if (language_info.name !== "python") return this.#setState("foreign");
    const isThere = await isLoaded(kernel);
    if (isStale()) return;
    if (!isThere) return this.#setState("absent");
    const comm = new Comm(kernel);
    const isBeside = kernel.commsOverSubshells !== "disabled"; // which the user may have chosen
    if (isBeside && supported_features.some((name) => /subshells$/.test(name))) {
      await comm.makeSubshell();
    }
    if (isStale()) return comm.close();
    this.#comm = comm;
    this.#numReceived = 0;
    comm.open();
    const welcome = await this.call("hello", this.#hello).catch(() => null); // not understood at all
    if (isStale()) return;
    if (!welcome) return this.#setState("differs");
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

  get #hello(): Arguments<"hello"> {
    return { protocol: PROTOCOL, client: this.client, path: this.#place.localPath };
  }

  /** Follow the kernel that the notebook has now. */
  #follow(): void {
    const kernel = this.#place.sessionContext.session?.kernel ?? null;
    if (kernel === this.#kernel) return;
    if (this.#kernel) Signal.disconnectBetween(this.#kernel, this);
    this.#kernel?.disposed.disconnect(this.#leave);
    this.#close("none");
    this.#kernel = kernel;
    if (!kernel) return;
    kernel.statusChanged.connect(this.#watch, this);
    kernel.connectionStatusChanged.connect(this.#reach, this);
    kernel.iopubMessage.connect(this.#overhear, this);
    kernel.disposed.connect(this.#leave); // with its notebook; it still sends what it is given
    this.#tryToConnect();
  }

  /** After a restart the kernel is another one, though Jupyter's connection to it is not. */
  #watch(_: unknown, status: Kernel.Status): void {
    if (["restarting", "autorestarting", "dead", "terminating"].includes(status)) {
      this.#lose("none");
    } else if (status === "idle" && this.#state === "none") this.#tryToConnect();
  }

  /** Once the network is down, nobody knows what will be missed. */
  #reach(_: unknown, status: Kernel.ConnectionStatus): void {
    if (status === "connected") {
      this.#renew(); // not before: with a farewell to send, Jupyter is seconds late
    } else this.#giveUp("none");
  }

  /** Take in what comes on our comm, and on the one that says that jupyter_llm has come or gone. */
  #overhear(_: unknown, { header, content }: KernelMessage.IIOPubMessage): void {
    const { comm_id: id, data } = content as Partial<KernelMessage.ICommMsgMsg["content"]>;
    if (header.msg_type !== "comm_msg") return;
    if (id !== undefined && id === this.#comm?.id) {
      this.#session = header.session;
      this.#take(data as never);
    } else if (id === TARGET && data?.type !== "loaded") this.#close("absent");
    else if (id === TARGET && header.session !== this.#session) {
      this.#renew(); // what is on its way may be about the time before
    }
  }

  /** Come anew. */
  #renew(): void {
    this.#close("none");
    this.#tryToConnect();
  }

  #greet(): void {
    if (this.#state === "open") this.call("hello", this.#hello);
  }

  #take(data: Numbered | (PanelNews & { seq: number })): void {
    this.#numReceived += 1;
    if (data.seq !== this.#numReceived) {
      this.#renew(); // something was lost on the way, as when there is too much of it
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

  #send(message: Call): void {
    const comm = this.#state === "open" || message.type === "hello" ? this.#comm : null;
    if (!comm) throw new Error(trans.__("The kernel is not connected."));
    this.#post(comm, message);
  }

  #post(comm: Comm, message: object): void {
    try {
      comm.send(message);
    } catch {
      this.#lose("none"); // the kernel is dead
    }
  }

  readonly #leave = (): void => this.#close("none");

  /** Let the kernel know that nobody listens any more. */
  #close(state: ConnectionState): void {
    const comm = this.#comm;
    this.#lose(state);
    try {
      comm?.close();
    } catch {
      // the kernel is dead
    }
  }

  #lose(state: ConnectionState): void {
    this.#comm = null;
    this.#session = "";
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
