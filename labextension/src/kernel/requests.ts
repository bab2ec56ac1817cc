/** What was asked of the kernel and is not answered yet. */

import type { ChatMessage, ChatRequest } from "../connection/messages.js";

/** So long after it was sent, a request that the kernel has not taken in counts as waiting. */
const LATE_MS = 400;

const GONE = "The kernel of this panel is gone. Run its cell again.";

/** These have done what they were for once they have arrived; nothing else answers them. */
const ANSWERED_BY_ACK = new Set(["bye", "draft", "stop", "choose", "remove", "dismiss"]);

/** For these somebody waits; prompts are on the page. */
const AWAITED = new Set(["draft", "suggest", "describe", "check", "prepare", "land"]);

/** Nobody waits for these, so it is no news if they wait. */
const NEVER_LATE = new Set(["draft"]);

interface OpenRequest {
  type: string;
  /** The kernel has said that it has it. */
  isTaken: boolean;
  isLate: boolean;
  timer: ReturnType<typeof setTimeout>;
  resolve: (message: ChatMessage) => void;
  reject: (error: Error) => void;
}

/** Requests by id, oldest first. */
export class Requests {
  readonly #open = new Map<string, OpenRequest>();
  #numSent = 0;
  readonly #view: string;
  readonly #send: (message: ChatRequest & { id: string }) => void;
  readonly #onLateness: () => void;
  readonly #gone: string;

  /**
   * `view` begins the ids, which are unique among all views of a panel; `onLateness` is called when
   * `isLate` may have changed; `gone` is said where nothing can be sent.
   */
  constructor(
    view: string,
    send: (message: ChatRequest & { id: string }) => void,
    onLateness: () => void,
    gone: string = GONE,
  ) {
    this.#view = view;
    this.#send = send;
    this.#onLateness = onLateness;
    this.#gone = gone;
  }

  /** Whether something was sent a while ago and the kernel has not taken it in. */
  get isLate(): boolean {
    return [...this.#open.values()].some(({ isLate }) => isLate);
  }

  /** Send a request. Its answer fulfils the promise, which fails with what the kernel says. */
  post(message: ChatRequest): { id: string; reply: Promise<ChatMessage> } {
    this.#numSent += 1;
    const id = `${this.#view}-${this.#numSent}`;
    const reply = new Promise<ChatMessage>((resolve, reject) => {
      const timer = setTimeout(() => this.#setLate(id), LATE_MS);
      const [isTaken, isLate] = [false, false];
      this.#open.set(id, { type: message.type, isTaken, isLate, timer, resolve, reject });
    });
    reply.catch(() => {}); // It is no error of the page if nobody waits for the answer any more.
    try {
      this.#send({ ...message, id });
    } catch {
      this.#fail(id, this.#gone);
    }
    return { id, reply };
  }

  /** Take in what may answer a request; tell whether it is one of this view, not answered yet. */
  take(message: ChatMessage): boolean {
    const id = answeredId(message);
    const request = this.#open.get(id ?? "");
    if (id === null || !request) return false;
    if (message.type === "error") this.#fail(id, message.text);
    else if (message.type !== "ack" || ANSWERED_BY_ACK.has(request.type)) {
      this.#close(id)?.resolve(message);
    } else this.#setTaken(request);
    return true;
  }

  /** Whether a request, answered or not, came from this view. */
  isOwn(id: string): boolean {
    return id.startsWith(`${this.#view}-`);
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

  /** Give up what was asked before a request of a kernel, or on a line, that is no more. */
  failBefore(lastId: string): void {
    for (const [id, { type }] of this.#open) {
      if (id === lastId) return;
      if (AWAITED.has(type)) this.#fail(id, "The kernel that was asked is gone. Try again.");
    }
  }

  /** Give up all. */
  dispose(): void {
    for (const id of this.#open.keys()) this.#fail(id, "The panel was closed.");
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

  #fail(id: string, text: string): void {
    this.#close(id)?.reject(new Error(text));
  }
}

/** The id of the request that a message has to do with. */
function answeredId(message: ChatMessage): string | null {
  switch (message.type) {
    case "notice":
      return message.notice.id;
    case "anybody":
    case "path":
    case "delta":
    case "progress":
    case "pending":
    case "status":
    case "dismissed":
    case "transcript":
      return null;
    default:
      return message.id;
  }
}
