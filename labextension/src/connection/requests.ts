/** The calls of the kernel that have no reply yet. */

import type { Arguments, Call, Message, Method, Reply } from "./messages.js";

/** A call counts as waiting if the kernel has not received it so long after it was sent. */
const LATE_MS = 400;

/** Nobody waits for the replies of these: the page shows their results. */
const SHOWN = new Set<Method>(["bye", "choose", "follow", "regenerate", "remove", "send", "stop"]);

/** Nobody waits for these, so it is no news if they wait. */
const NEVER_LATE = new Set<Method>(["draft", "watch_activity"]);

interface OpenRequest {
  method: Method;
  /** The kernel has said that it has it. */
  isTaken: boolean;
  isLate: boolean;
  timer: ReturnType<typeof setTimeout>;
  onNews: (message: Message) => void;
  resolve: (value: never) => void;
  reject: (error: Error) => void;
}

/** The result of a call on its way, and the call's id. */
export type Sent<M extends Method> = Promise<Reply<M>> & { readonly id: string };

/** Requests by id, oldest first. */
export class Requests {
  readonly #open = new Map<string, OpenRequest>();
  readonly #name: string;
  readonly #send: (message: Call) => void;
  readonly #onLateness: () => void;
  #numSent = 0;

  /**
   * `name` begins the ids, so that none of two who ask are the same; `send` fails with what is said
   * where nothing can be sent; `onLateness` is called when `isLate` may have changed.
   */
  constructor(name: string, send: (message: Call) => void, onLateness: () => void = () => {}) {
    this.#name = name;
    this.#send = send;
    this.#onLateness = onLateness;
  }

  /** Whether something was sent a while ago and the kernel has not taken it in. */
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
    reply.catch(() => {}); // whoever waits for it hears of it; nobody has to
    const call = { type: "call", id, method, arguments: args };
    try {
      this.#send((method === "hello" ? { type: method, id, ...args } : call) as Call);
    } catch (error) {
      this.#fail(id, (error as Error).message);
    }
    return Object.assign(reply, { id });
  }

  /** Take in a message; return whether it is about a call that has no reply yet. */
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

  /** Whether a request was sent and the kernel has not said that it has it. */
  isUntaken(id: string): boolean {
    return this.#open.get(id)?.isTaken === false;
  }

  /**
   * Note that all calls before a request have arrived, since the request has. Those that the page
   * shows end: a reply may have been lost.
   */
  takeBefore(lastId: string): void {
    for (const [id, request] of this.#open) {
      if (id === lastId) return;
      if (SHOWN.has(request.method)) this.#close(id);
      else this.#setTaken(request);
    }
  }

  /** Give up what is waited for and was asked before a request, since nobody will answer it. */
  failBefore(lastId: string, reason: string): void {
    for (const [id, { method }] of this.#open) {
      if (id === lastId) return;
      if (!SHOWN.has(method)) this.#fail(id, reason);
    }
  }

  /** Give up all. */
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
