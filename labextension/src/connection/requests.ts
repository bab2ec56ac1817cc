/** The calls of the kernel that have no reply yet. */

import type { Arguments, Call, Message, Method, Reply } from "./messages.js";

/** A call is late if the kernel has not acknowledged it this long after it was sent. */
const LATE_MS = 400;

/** Nobody waits for the replies of these: the page shows their results. */
const SHOWN = new Set<Method>(["bye", "choose", "follow", "regenerate", "remove", "send", "stop"]);

/** Nobody waits for these, so they are never late. */
const NEVER_LATE = new Set<Method>(["draft", "watch_activity"]);

interface OpenRequest {
  method: Method;
  /** The kernel has acknowledged it. */
  isTaken: boolean;
  isLate: boolean;
  timer: ReturnType<typeof setTimeout>;
  onNews: (message: Message) => void;
  resolve: (value: never) => void;
  reject: (error: Error) => void;
}

/** The promise of a call's result, with the call's id. */
export type Sent<M extends Method> = Promise<Reply<M>> & { readonly id: string };

/** Requests by id, oldest first. */
export class Requests {
  readonly #open = new Map<string, OpenRequest>();
  readonly #name: string;
  readonly #send: (message: Call) => void;
  readonly #onLateness: () => void;
  #numSent = 0;

  /**
   * `name`: the start of the ids, unique to each sender. `send` throws an error with the message to
   * show if there is no connection. `onLateness` is called when `isLate` may have changed.
   */
  constructor(name: string, send: (message: Call) => void, onLateness: () => void = () => {}) {
    this.#name = name;
    this.#send = send;
    this.#onLateness = onLateness;
  }

  /** Whether a call is late. */
  get isLate(): boolean {
    return [...this.#open.values()].some(({ isLate }) => isLate);
  }

  /** Call a method; `onNews` receives the progress. Fails with the kernel's error. */
  call<M extends Method>(
    method: M,
    args: Arguments<M>,
    onNews: (message: Message) => void = () => {},
  ): Sent<M> {
    this.#numSent += 1;
    const id = `${this.#name}-${this.#numSent}`;
    const reply = new Promise<Reply<M>>((resolve, reject) => {
      const timer = setTimeout(() => this.#setLate(id), LATE_MS);
      this.#open.set(id, { method, isTaken: false, isLate: false, timer, onNews, resolve, reject });
    });
    reply.catch(() => {}); // nobody has to wait for it
    const call = { type: "call", id, method, arguments: args };
    try {
      this.#send((method === "hello" ? { type: method, id, ...args } : call) as Call);
    } catch (error) {
      this.#fail(id, (error as Error).message);
    }
    return Object.assign(reply, { id });
  }

  /** Handle a message; return whether it belongs to a call that has no reply yet. */
  take(message: Message): boolean {
    const id = "id" in message ? message.id : null;
    const request = this.#open.get(id ?? "");
    if (id === null || !request) return false;
    if (message.type === "ack") this.#setTaken(request);
    else if (message.type === "error") this.#fail(id, message.text);
    else if (message.type === "reply") this.#close(id)?.resolve(message.value as never);
    else if (message.type === "welcome") this.#close(id)?.resolve(message as never);
    else request.onNews(message);
    return true;
  }

  /** Whether a request, answered or not, was sent from here. */
  isOwn(id: string): boolean {
    return id.startsWith(`${this.#name}-`);
  }

  /** Whether a request was sent and not yet acknowledged. */
  isUntaken(id: string): boolean {
    return this.#open.get(id)?.isTaken === false;
  }

  /**
   * Note that all calls before a request have arrived, since the request has. Calls whose results the
   * page shows end without a reply, which may have been lost.
   */
  takeBefore(lastId: string): void {
    for (const [id, request] of this.#open) {
      if (id === lastId) return;
      if (SHOWN.has(request.method)) this.#close(id);
      else this.#setTaken(request);
    }
  }

  /** Fail the calls before a request that somebody waits for: the kernel that had them is gone. */
  failBefore(lastId: string, reason: string): void {
    for (const id of this.#open.keys()) {
      if (id === lastId) return;
      this.#fail(id, reason);
    }
  }

  /** Fail all calls. */
  fail(reason: string): void {
    for (const id of this.#open.keys()) this.#fail(id, reason);
  }

  #setLate(id: string): void {
    const request = this.#open.get(id);
    if (!request || request.isTaken || NEVER_LATE.has(request.method)) return;
    request.isLate = true;
    this.#onLateness();
  }

  #setTaken(request: OpenRequest): void {
    clearTimeout(request.timer);
    request.isTaken = true;
    const wasLate = request.isLate;
    request.isLate = false;
    if (wasLate) this.#onLateness();
  }

  #close(id: string): OpenRequest | undefined {
    const request = this.#open.get(id);
    this.#open.delete(id);
    if (request) this.#setTaken(request);
    return request;
  }

  #fail(id: string, reason: string): void {
    this.#close(id)?.reject(new Error(reason));
  }
}
