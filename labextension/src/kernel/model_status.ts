/** What the model in a kernel does, and which one it is to be. */

import type { Activity, Message, ModelRole, Models, Pull } from "../connection/messages.js";
import type { Requests } from "../connection/requests.js";

/** Where a kernel is asked: the connection of a page, or the store of a chat. */
export interface ModelLine {
  call: Requests["call"];
}

/** Watches one kernel at a time; whoever hears from it hands on what comes with `take`. */
export class ModelStatus {
  readonly #listeners = new Set<() => void>();
  #line: ModelLine | null = null;
  status: Activity | null = null;
  /** The models there are, as they were when they were last listed, and those that may be pulled. */
  models: Models | null = null;
  /** Why the last model that was chosen here could not be loaded. */
  problem = "";
  #load: { line: ModelLine; id: string } | null = null;

  /** The pull that runs in the kernel, or the last one. */
  get pulling(): Pull | null {
    return this.status?.pull ?? null;
  }

  /** Whether a model is being loaded that was chosen here. */
  get canStop(): boolean {
    return this.#load !== null && this.#load.line === this.#line;
  }

  /** Hear of changes. What is returned ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Watch a kernel from now on, and anew where it may be another one; null: none can be asked. */
  follow(line: ModelLine | null): void {
    if (line !== this.#line) {
      this.#line?.call("watch_activity", { is_on: false });
      this.status = this.models = null;
      this.problem = "";
    }
    this.#line = line;
    line?.call("watch_activity", { is_on: true });
    if (this.models) void this.list().catch(() => {}); // the line was lost: it says so
    this.#tell();
  }

  /** Take in what came over the line. */
  take(message: Message): void {
    if (message.type !== "activity") return;
    const before = this.pulling;
    this.status = message;
    this.#tell();
    const isNew = this.pulling?.state === "done" && before?.state === "running";
    if (isNew && this.models) void this.list().catch(() => {}); // the line was lost: it says so
  }

  /** Ask which models there are. */
  async list(): Promise<void> {
    const line = this.#line;
    const models = await line?.call("list_models", {});
    if (!models || line !== this.#line) return;
    this.models = models;
    this.#tell();
  }

  /** Load a model for a role; fails with what is the matter. */
  async use(model: string, role: ModelRole): Promise<void> {
    const line = this.#line;
    if (!line) return;
    const loading = line.call("use_model", { model, role });
    const { id } = loading;
    this.#load = { line, id };
    this.problem = "";
    this.#tell();
    try {
      await loading;
    } catch (error) {
      if (this.#load?.id === id && this.canStop) this.problem = (error as Error).message;
      throw error;
    } finally {
      if (this.#load?.id === id) this.#load = null;
      this.#tell();
      void this.list().catch(() => {}); // as above
    }
  }

  /** Begin to pull a model; fails with what is the matter. How far it is, the status says. */
  async pull(model: string, acceptsLicence = false): Promise<void> {
    await this.#line?.call("start_pull", { model, accepts_licence: acceptsLicence });
  }

  /** Stop the pull that runs, or hear no more of what has become of the last one. */
  endPull(): void {
    this.#line?.call("end_pull", {});
  }

  /** Stop loading the model that was chosen. */
  stop(): void {
    if (this.#load) this.#load.line.call("stop", { target: this.#load.id });
    this.#load = null; // what comes of it is no news
    this.#tell();
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
