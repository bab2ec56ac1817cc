/** What was asked of the kernel and is not answered yet. */

import type { Message, Request } from "./messages.js";

/** These say how far a request is; whatever else bears its id answers it. */
const NEWS = new Set<Message["type"]>(["ack", "progress", "completion"]);
/** These have done what they are for once they have arrived. */
const ANSWERED_BY_ACK = new Set<Request["type"]>([
  "cells",
  "focus",
  "cancel",
  "cell-draft",
  "landed",
  "panel-open",
  "panel-close",
  "watch-activity",
  "end-pull",
]);

interface OpenRequest {
  type: Request["type"];
  onNews: (message: Message) => void;
  resolve: (message: Message) => void;
  reject: (error: Error) => void;
}

/** A request on its way: its id, and the message that answers it. */
export interface Sent {
  id: string;
  reply: Promise<Message>;
}

/** Requests by id. `client` begins the ids, so that none of two pages are the same. */
export class Requests {
  readonly #open = new Map<string, OpenRequest>();
  readonly #client: string;
  #numSent = 0;

  constructor(client: string) {
    this.#client = client;
  }

  /** Take note of a request that is sent, and return it with its id. */
  add(request: Request, onNews: (message: Message) => void = () => {}): Sent {
    this.#numSent += 1;
    const id = `${this.#client}-${this.#numSent}`;
    const reply = new Promise<Message>((resolve, reject) => {
      this.#open.set(id, { type: request.type, onNews, resolve, reject });
    });
    reply.catch(() => {}); // whoever waits for it hears of it; nobody has to
    return { id, reply };
  }

  /** Hand a message to who waits for it. */
  take(message: Message): void {
    const id = "id" in message ? message.id : null;
    const open = id === null ? undefined : this.#open.get(id);
    if (id === null || !open) return;
    if (message.type === "error") {
      this.#open.delete(id);
      open.reject(new Error(message.text));
    } else if (
      NEWS.has(message.type) &&
      !(message.type === "ack" && ANSWERED_BY_ACK.has(open.type))
    ) {
      open.onNews(message);
    } else {
      this.#open.delete(id);
      open.resolve(message);
    }
  }

  /** Give up on all that is open, since nobody will answer any more. */
  fail(reason: string): void {
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const { reject } of open) reject(new Error(reason));
  }
}
