/** What was asked of the kernel and is not answered yet. */

import type { Message, Request } from "./messages.js";

/** So long after it was sent, a request that the kernel has not taken in counts as waiting. */
const LATE_MS = 400;

/** These say how far a request is; whatever else bears its id answers it. */
const NEWS = new Set<Message["type"]>(["progress", "completion"]);

const ORDERS = ["bye", "stop", "choose", "remove"] as const;

/** These have done what they are for once they have arrived; nothing else answers them. */
const ANSWERED_BY_ACK = new Set<Request["type"]>([
  ...ORDERS,
  "cells",
  "focus",
  "landed",
  "show-chat",
  "watch-activity",
  "end-pull",
  "draft",
]);

/** Nobody waits for the answers of these: what comes of them is on the page. */
const SHOWN = new Set<Request["type"]>([...ORDERS, "follow", "send", "regenerate"]);

/** Nobody waits for these, so it is no news if they wait. */
const NEVER_LATE = new Set<Request["type"]>(["draft", "watch-activity"]);

interface OpenRequest {
  type: Request["type"];
  /** The kernel has said that it has it. */
  isTaken: boolean;
  isLate: boolean;
  timer: ReturnType<typeof setTimeout>;
  onNews: (message: Message) => void;
  resolve: (message: Message) => void;
  reject: (error: Error) => void;
}

/** A request on its way: its id, and the message that answers it. */
export interface Sent {
  id: string;
  reply: Promise<Message>;
}

/** Requests by id, oldest first. */
export class Requests {
  readonly #open = new Map<string, OpenRequest>();
  readonly #name: string;
  readonly #send: (message: Request & { id: string }) => void;
  readonly #onLateness: () => void;
  #numSent = 0;

  /**
   * `name` begins the ids, so that none of two who ask are the same; `send` fails with what is said
   * where nothing can be sent; `onLateness` is called when `isLate` may have changed.
   */
  constructor(
    name: string,
    send: (message: Request & { id: string }) => void,
    onLateness: () => void = () => {},
  ) {
    this.#name = name;
    this.#send = send;
    this.#onLateness = onLateness;
  }

  /** Whether something was sent a while ago and the kernel has not taken it in. */
  get isLate(): boolean {
    return [...this.#open.values()].some(({ isLate }) => isLate);
  }

  /**
   * Send a request. Its answer fulfils the promise, which fails with what the kernel says; `onNews`
   * hears how far it is.
   */
  post(request: Request, onNews: (message: Message) => void = () => {}): Sent {
    this.#numSent += 1;
    const id = `${this.#name}-${this.#numSent}`;
    const reply = new Promise<Message>((resolve, reject) => {
      const timer = setTimeout(() => this.#setLate(id), LATE_MS);
      const { type } = request;
      this.#open.set(id, { type, isTaken: false, isLate: false, timer, onNews, resolve, reject });
    });
    reply.catch(() => {}); // whoever waits for it hears of it; nobody has to
    try {
      this.#send({ ...request, id });
    } catch (error) {
      this.#fail(id, (error as Error).message);
    }
    return { id, reply };
  }

  /** Take in what may answer a request; tell whether it is about one that is not answered yet. */
  take(message: Message): boolean {
    const id = "id" in message ? message.id : null;
    const request = this.#open.get(id ?? "");
    if (id === null || !request) return false;
    if (message.type === "error") this.#fail(id, message.text);
    else if (NEWS.has(message.type)) request.onNews(message);
    else if (message.type !== "ack" || ANSWERED_BY_ACK.has(request.type)) {
      this.#close(id)?.resolve(message);
    } else this.#setTaken(request);
    return true;
  }

  /** Forget a request whose outcome the page shows; nobody waits for its answer. */
  end(id: string): void {
    this.#close(id);
  }

  /** Whether a request, answered or not, was sent from here. */
  isOwn(id: string): boolean {
    return id.startsWith(`${this.#name}-`);
  }

  /** Whether a request was sent and the kernel has not said that it has it. */
  isUntaken(id: string): boolean {
    return this.#open.get(id)?.isTaken === false;
  }

  /** Note that all that was sent before a request has arrived, since it has. */
  takeBefore(lastId: string): void {
    for (const [id, request] of this.#open) {
      if (id === lastId) return;
      this.#setTaken(request);
    }
  }

  /** Give up what is waited for and was asked before a request, since nobody will answer it. */
  failBefore(lastId: string, reason: string): void {
    for (const [id, { type }] of this.#open) {
      if (id === lastId) return;
      if (!SHOWN.has(type)) this.#fail(id, reason);
    }
  }

  /** Give up all. */
  fail(reason: string): void {
    for (const id of this.#open.keys()) this.#fail(id, reason);
  }

  #setLate(id: string): void {
    const request = this.#open.get(id);
    if (!request || request.isTaken || NEVER_LATE.has(request.type)) return;
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
