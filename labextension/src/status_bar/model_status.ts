/** What the model in the kernel of one notebook does, and which one it is to be. */

import type { IDisposable } from "@lumino/disposable";
import { type ISignal, Signal } from "@lumino/signaling";
import type { Connection, ConnectionState } from "../connection/connection.js";
import type { Activity, Message, MessageOf, Pull } from "../connection/messages.js";

export type Models = Pick<MessageOf<"models">, "here" | "suited">;

/** Watches the connection of the notebook in front, and asks its kernel nothing of the others. */
export class ModelStatus implements IDisposable {
  readonly changed: ISignal<this, void>;
  readonly #changed: Signal<this, void>;
  #connection: Connection | null = null;
  #status: Activity | null = null;
  #models: Models | null = null;
  #pull: Pull | null = null;
  #load: { connection: Connection; id: string } | null = null;
  #isDisposed = false;

  constructor() {
    this.#changed = new Signal(this);
    this.changed = this.#changed;
  }

  get connection(): Connection | null {
    return this.#connection;
  }

  get state(): ConnectionState | null {
    return this.#connection?.state ?? null;
  }

  get status(): Activity | null {
    return this.#status;
  }

  /** The pull that runs in the kernel, or the last one. */
  get pulling(): Pull | null {
    return this.#pull;
  }

  /** The models there are, as they were when they were last listed, and those that may be pulled. */
  get models(): Models | null {
    return this.#models;
  }

  /** Whether a model is being loaded that was chosen here. */
  get canStop(): boolean {
    return this.#load !== null && this.#load.connection === this.#connection;
  }

  get isDisposed(): boolean {
    return this.#isDisposed;
  }

  /** Go over to another notebook's kernel. */
  follow(connection: Connection | null): void {
    const before = this.#connection;
    if (connection === before) return;
    if (before) {
      before.stateChanged.disconnect(this.#watch, this);
      before.received.disconnect(this.#take, this);
      if (before.state === "open") before.request({ type: "watch-activity", is_on: false });
    }
    this.#connection = connection;
    connection?.stateChanged.connect(this.#watch, this);
    connection?.received.connect(this.#take, this);
    this.#watch();
  }

  /** Ask which models there are. */
  async list(): Promise<void> {
    const connection = this.#connection;
    const reply = await connection?.request({ type: "list-models" }).reply;
    if (reply?.type !== "models" || connection !== this.#connection) return;
    this.#models = reply;
    this.#changed.emit();
  }

  /** Load a model; fails with what is the matter. */
  async use(model: string): Promise<void> {
    const connection = this.#connection;
    if (!connection) return;
    const { id, reply } = connection.request({ type: "use-model", model });
    this.#load = { connection, id };
    this.#changed.emit();
    try {
      await reply;
    } finally {
      if (this.#load?.id === id) this.#load = null;
      this.#changed.emit();
      void this.list().catch(() => {}); // the connection was lost: it says so
    }
  }

  /** Begin to pull a model; fails with what is the matter. How far it is, the status says. */
  async pull(model: string, acceptsLicence = false): Promise<void> {
    await this.#connection?.request({ type: "start-pull", model, accepts_licence: acceptsLicence })
      .reply;
  }

  /** Stop the pull that runs, or hear no more of what has become of the last one. */
  endPull(): void {
    this.#connection?.request({ type: "end-pull" });
  }

  /** Stop loading the model that was chosen. */
  stop(): void {
    if (this.#load) this.#load.connection.request({ type: "stop", target: this.#load.id });
  }

  dispose(): void {
    if (this.#isDisposed) return;
    this.follow(null);
    this.#isDisposed = true;
    Signal.clearData(this);
  }

  #watch(): void {
    this.#status = null;
    this.#models = null;
    this.#pull = null;
    if (this.state === "open") this.#connection?.request({ type: "watch-activity", is_on: true });
    this.#changed.emit();
  }

  #takePull(pull: Pull | null): void {
    const isNew = pull?.state === "done" && this.#pull?.state === "running";
    this.#pull = pull;
    this.#changed.emit();
    if (isNew && this.#models) void this.list().catch(() => {}); // as above
  }

  #take(_connection: Connection, message: Message): void {
    if (message.type === "pull") this.#takePull(message.pull);
    if (message.type !== "activity") return;
    this.#status = message.activity;
    this.#changed.emit();
  }
}
