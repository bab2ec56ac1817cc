/** What was asked of the kernel and is not answered yet. */

/** @import { ChatMessage, ChatRequest } from "../connection/messages.js" */

/** So long after it was sent, a request that the kernel has not taken in counts as waiting. */
const LATE_MS = 400;

const GONE = "The kernel of this panel is gone. Run its cell again.";

/** These have done what they were for once they have arrived; nothing else answers them. */
const ANSWERED_BY_ACK = new Set(["bye", "draft", "stop", "choose", "remove", "dismiss"]);

/** For these somebody waits; prompts are on the page. */
const AWAITED = new Set(["draft", "suggest", "describe", "check", "prepare", "land"]);

/** Nobody waits for these, so it is no news if they wait. */
const NEVER_LATE = new Set(["draft"]);

/**
 * @typedef {object} OpenRequest
 * @property {string} type
 * @property {boolean} isTaken  The kernel has said that it has it.
 * @property {boolean} isLate
 * @property {ReturnType<typeof setTimeout>} timer
 * @property {(message: ChatMessage) => void} resolve
 * @property {(error: Error) => void} reject
 */

/** Requests by id, oldest first. */
export class Requests {
  /** @type {Map<string, OpenRequest>} */
  #open = new Map();
  #numSent = 0;
  #view;
  #send;
  #onLateness;
  #gone;

  /**
   * @param {string} view  Begins the ids, which are unique among all views of a panel.
   * @param {(message: ChatRequest & { id: string }) => void} send
   * @param {() => void} onLateness  Called when `isLate` may have changed.
   * @param {string} [gone]  What is said where nothing can be sent.
   */
  constructor(view, send, onLateness, gone = GONE) {
    this.#view = view;
    this.#send = send;
    this.#onLateness = onLateness;
    this.#gone = gone;
  }

  /** Whether something was sent a while ago and the kernel has not taken it in. */
  get isLate() {
    return [...this.#open.values()].some(({ isLate }) => isLate);
  }

  /**
   * Send a request. The promise is fulfilled by its answer, and fails with what the kernel says.
   *
   * @param {ChatRequest} message
   * @returns {{ id: string, reply: Promise<ChatMessage> }}
   */
  post(message) {
    this.#numSent += 1;
    const id = `${this.#view}-${this.#numSent}`;
    /** @type {Promise<ChatMessage>} */
    const reply = new Promise((resolve, reject) => {
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

  /**
   * Take in what may answer a request.
   *
   * @param {ChatMessage} message
   * @returns {boolean}  Whether the request is one of this view that was not answered yet.
   */
  take(message) {
    const id = answeredId(message);
    const request = this.#open.get(id ?? "");
    if (id === null || !request) return false;
    if (message.type === "error") this.#fail(id, message.text);
    else if (message.type !== "ack" || ANSWERED_BY_ACK.has(request.type)) {
      this.#close(id)?.resolve(message);
    } else this.#setTaken(request);
    return true;
  }

  /**
   * Tell whether a request, answered or not, came from this view.
   *
   * @param {string} id
   * @returns {boolean}
   */
  isOwn(id) {
    return id.startsWith(`${this.#view}-`);
  }

  /**
   * Tell whether a request was sent and the kernel has not said that it has it.
   *
   * @param {string} id
   * @returns {boolean}
   */
  isUntaken(id) {
    return this.#open.get(id)?.isTaken === false;
  }

  /**
   * Note that all that was sent before a request has arrived, since it has.
   *
   * @param {string} lastId
   */
  takeBefore(lastId) {
    for (const [id, request] of this.#open) {
      if (id === lastId) return;
      this.#setTaken(request);
    }
  }

  /**
   * Give up what was asked before a request of a kernel, or on a line, that is no more.
   *
   * @param {string} lastId
   */
  failBefore(lastId) {
    for (const [id, { type }] of this.#open) {
      if (id === lastId) return;
      if (AWAITED.has(type)) this.#fail(id, "The kernel that was asked is gone. Try again.");
    }
  }

  /** Give up all. */
  dispose() {
    for (const id of this.#open.keys()) this.#fail(id, "The panel was closed.");
  }

  /**
   * @param {string} id
   */
  #setLate(id) {
    const request = this.#open.get(id);
    if (!request || request.isTaken || NEVER_LATE.has(request.type)) return;
    request.isLate = true;
    this.#onLateness();
  }

  /**
   * @param {OpenRequest} request
   */
  #setTaken(request) {
    clearTimeout(request.timer);
    request.isTaken = true;
    const wasLate = request.isLate;
    request.isLate = false;
    if (wasLate) this.#onLateness();
  }

  /**
   * @param {string} id
   * @returns {OpenRequest | undefined}
   */
  #close(id) {
    const request = this.#open.get(id);
    this.#open.delete(id);
    if (request) this.#setTaken(request);
    return request;
  }

  /**
   * @param {string} id
   * @param {string} text
   */
  #fail(id, text) {
    this.#close(id)?.reject(new Error(text));
  }
}

/**
 * Return the id of the request that a message has to do with.
 *
 * @param {ChatMessage} message
 * @returns {string | null}
 */
function answeredId(message) {
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
