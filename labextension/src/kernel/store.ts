/** The chat as a panel has it: what the kernel has told, and what the user asks of it. */

import type { AnyModel } from "@anywidget/types";
import type {
  Arguments,
  Attachment,
  Call,
  MessageOf,
  Method,
  Numbered,
} from "../connection/messages.js";
import { Requests } from "../connection/requests.js";
import { randomId } from "../dom/random_id.js";
import { trans } from "../dom/words.js";
import { Changes, type Listener } from "./changes.js";
import { ModelStatus } from "./model_status.js";
import {
  addUnsent,
  apply,
  applyDocument,
  emptyState,
  giveBack,
  lostBy,
  pendingOf,
  setError,
} from "./state.js";

/** What a store needs of a widget's model; `gone` is what a host says where nothing can be sent. */
export type Comm = Pick<AnyModel, "on" | "off" | "send"> &
  Partial<Pick<AnyModel, "get">> & { gone?: string };

export interface SendOptions {
  /** Begin a new branch behind this turn, or with 0 from the start. */
  after?: number | null;
  /** Have an answer that looks like that of this turn. */
  like?: number | null;
  attachments?: readonly Attachment[];
  seed?: number | null;
  temperature?: number | null;
  /** Without the cells and variables that go along by themselves. */
  isAlone?: boolean;
  /** Who asks, where several people may. */
  by?: string;
}

/**
 * So long a greeting may stay without an answer before the next one, then twice as long, and so on.
 *
 * JupyterLab makes the subshell of a comm when it gets to know the comm. What is sent before that is
 * done waits for the cell that runs, be it the one that shows the panel.
 */
const GREETING_MS = 500;
const MOST_GREETINGS = 6;

/** The store of a widget model. All views of the model share it. */
export class Store {
  readonly state = emptyState();
  /** The model that answers. */
  readonly models = new ModelStatus();
  /** The prompts whose proposal this page has shown at its cell. */
  readonly #shown = new Set<string>();
  readonly #changes = new Changes();
  readonly #model: Comm;
  readonly #requests: Requests;
  #canWriteCells = false;
  // The number of the last message, 0 before the first, and the greeting that is not answered.
  #seq = 0;
  #hello = "";
  /** Whether the line has changed since all was told: the kernel may not be the one that was asked. */
  #isOther = false;
  /** Whether a message was lost since the document came. */
  #hasMissed = false;
  #helloTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(model: Comm) {
    this.#model = model;
    const send = (message: Call): void => {
      try {
        // A panel restored without its kernel sends nothing, and only its layout's model shows it.
        if (model.get?.("layout")?.comm_live === false) throw new Error();
        model.send(message);
      } catch {
        throw new Error(
          model.gone ?? trans.__("The kernel of this panel is gone. Run its cell again."),
        );
      }
    };
    this.#requests = new Requests(randomId(), send, () => this.#setWaiting());
    model.on("msg:custom", this.#receive);
    model.on("comm_live_update", this.#probe);
  }

  /** Hear of changes, at most once a frame. What is returned ends it. */
  subscribe(listener: Listener): () => void {
    return this.#changes.subscribe(listener);
  }

  /**
   * Ask for the chat. Every view calls this; only news are sent. `canWriteCells` says whether this
   * page can change cells and their outputs.
   */
  connect(canWriteCells: boolean): void {
    const isNews = canWriteCells && !this.#canWriteCells;
    this.#canWriteCells ||= canWriteCells;
    if (isNews || (!this.#hello && this.state.connection === "connecting")) this.#sayHello();
  }

  /** Ask for nothing more, since the last view on this page has gone; `connect` begins anew. */
  disconnect(): void {
    clearTimeout(this.#helloTimer);
    this.#hello = "";
    this.#canWriteCells = false;
    this.state.connection = "connecting";
    this.#order("bye", {});
  }

  /** Call a method of the kernel, as `Requests` does. */
  readonly call: Requests["call"] = (method, args, onNews) =>
    this.#requests.call(method, args, onNews);

  /** Send a prompt or a command. Returns the id of the request. */
  send(text: string, options: SendOptions = {}): string {
    const { after = null, like = null, seed = null, temperature = null } = options;
    const { attachments = [], isAlone: is_alone = false, by = "" } = options;
    const prompt = { text, attachments, is_alone };
    return this.#begin("send", { prompt, after, like, seed, temperature, by }, text);
  }

  /**
   * Tell what is being written and may be sent; with an empty text nothing is any more. Ends when
   * the kernel has it. Nobody misses it if it fails.
   */
  draft(text: string, options: SendOptions = {}): Promise<unknown> {
    const { attachments = [], isAlone: is_alone = false } = options;
    const prompt = { text, attachments, is_alone };
    return this.call("draft", { prompt, cell: null }).catch(() => {});
  }

  /** Ask for another answer to the prompt of a turn. Returns the id of the request. */
  regenerate(number: number, { seed = null, temperature = null }: SendOptions = {}): string {
    const prompt = this.state.chat.turns[number]?.prompt ?? "";
    return this.#begin("regenerate", { number, seed, temperature }, prompt);
  }

  /** Stop a turn by its number, a pending request by its id, or with null all of the chat. */
  stop(target: number | string | null): void {
    this.#order("stop", { target });
  }

  /**
   * Stop what this page has asked, or all of the chat where nobody `isShared` with. False where there
   * is nothing to stop.
   */
  stopOwn(isShared: boolean): boolean {
    const { path, turns, notices } = this.state.chat;
    const isOwn = (id = "") => !isShared || this.#requests.isOwn(id);
    const growing = Object.values(notices).filter(({ is_finished }) => !is_finished);
    const waiting = [...pendingOf(this.state), ...growing].map(({ id }) => id);
    const writing = path.filter((number) => turns[number]?.state !== "finished");
    const own = [
      ...waiting.filter((id) => isOwn(id)),
      ...writing.filter((number) => isOwn(turns[number]?.request)),
    ];
    for (const target of isShared || own.length === 0 ? own : [null]) this.stop(target);
    return own.length > 0;
  }

  /** Show the branch through a turn. */
  choose(number: number): void {
    this.#order("choose", { number });
  }

  /** Forget a turn by its number for good, or put a notice away by its id, in all views. */
  remove(target: number | string): void {
    this.#order("remove", { target });
  }

  /** Put the error away. */
  clearError(): void {
    setError(this.state, null, this.#changes.note);
  }

  /** What was typed into this chat before, the latest last. */
  history(): string[] {
    const { path, turns, notices } = this.state.chat;
    const shown = Object.values(notices);
    const typed = [0, ...path].flatMap((number) => [
      turns[number]?.prompt ?? "",
      ...shown.filter(({ after }) => after === number).map(({ prompt }) => prompt),
    ]);
    const unanswered = this.state.returned.filter(({ text }) => !typed.includes(text));
    const all = [...typed, ...[...unanswered, ...pendingOf(this.state)].map(({ text }) => text)];
    return all.filter((prompt, index) => prompt && prompt !== all[index + 1]);
  }

  /** Stop listening. */
  dispose(): void {
    this.#model.off("msg:custom", this.#receive);
    this.#model.off("comm_live_update", this.#probe);
    clearTimeout(this.#helloTimer);
    this.#changes.dispose();
    this.#requests.fail(trans.__("The panel was closed."));
  }

  /** Send something that becomes a turn or a notice, and show at once that it is on its way. */
  #begin<M extends Method>(method: M, args: Arguments<M>, text: string): string {
    this.clearError();
    const id: string = this.#order(method, args, () =>
      giveBack(this.state, { id, text }, this.#changes.note),
    );
    addUnsent(this.state, { id, text }, this.#changes.note);
    return id;
  }

  /** Whether this page sent a prompt, and has not yet shown its proposal; from now on it has. */
  showsFirst(id: string): boolean {
    const isFirst = this.#requests.isOwn(id) && !this.#shown.has(id);
    this.#shown.add(id);
    return isFirst;
  }

  /** Send something whose failure nobody but the panel waits for. */
  #order<M extends Method>(method: M, args: Arguments<M>, onRefused?: () => void): string {
    const sent = this.call(method, args);
    sent.catch((error: Error) => {
      setError(this.state, error.message, this.#changes.note);
      onRefused?.();
    });
    return sent.id;
  }

  /** Whether there is a view on this page, which has said hello. */
  get #isShown(): boolean {
    return this.#hello !== "" || this.state.connection === "ready";
  }

  /** Ask for everything, and again while there is no answer, as was done `numBefore` times. */
  #sayHello(numBefore = 0): void {
    clearTimeout(this.#helloTimer);
    this.#hello = this.#order("follow", { can_write_cells: this.#canWriteCells }, () => {
      clearTimeout(this.#helloTimer);
      this.state.connection = "failed";
      this.#changes.note("connection");
    });
    if (numBefore + 1 === MOST_GREETINGS) return;
    const again = () => this.#sayHello(numBefore + 1);
    this.#helloTimer = setTimeout(again, GREETING_MS * 2 ** numBefore);
  }

  /** The line to the kernel is another one, or there is none: a greeting brings out which. */
  readonly #probe = (): void => {
    this.#isOther = true;
    if (this.#isShown) this.#sayHello();
  };

  /** Ask for everything again; something was missed. */
  #recover(): void {
    if (!this.#hello) this.#sayHello();
  }

  #setWaiting(): void {
    if (this.state.waiting === this.#requests.isLate) return;
    this.state.waiting = this.#requests.isLate;
    this.#changes.note("waiting");
  }

  readonly #receive = (message: Numbered): void => {
    const isGap = this.#seq > 0 && message.seq !== this.#seq + 1;
    this.#hasMissed ||= isGap;
    this.#seq = message.seq;
    const isForUs = message.type === "document" && this.#requests.isOwn(message.id);
    if (isForUs) this.#start(message);
    const isAwaited = this.#requests.take(message);
    if (message.type === "error" && !isAwaited) this.#hear(message);
    if (isForUs || !this.#isShown) return;
    if (message.type === "anybody" && !this.#hello) this.#sayHello();
    if (isGap) this.#recover();
    // What comes before the document is in it; after a gap nothing can be built on what there is.
    if (this.#hello || this.state.connection !== "ready") return;
    this.models.take(message);
    // In a shared notebook's file several writers would multiply the output.
    if (message.type === "transcript" && !this.#requests.isOwn(message.writer)) return;
    if (!apply(this.state, message, this.#changes.note)) this.#recover();
  };

  /** Show what went wrong, unless another view asked for it. */
  #hear({ id, text }: MessageOf<"error">): void {
    if (id === null || this.#requests.isOwn(id)) setError(this.state, text, this.#changes.note);
  }

  #start({ id: greeting, document }: MessageOf<"document">): void {
    clearTimeout(this.#helloTimer);
    const isSame = document.kernel === this.state.chat.kernel;
    const pending = pendingOf(this.state);
    const unheard = pending.filter(({ id }) => this.#requests.isUntaken(id));
    this.#requests.takeBefore(greeting);
    this.#hello = "";
    const unsent = unheard.filter(({ id }) => this.#requests.isUntaken(id));
    const lost = this.#isOther ? lostBy(this.state, document, unsent) : [];
    applyDocument(this.state, document, unsent, this.#changes.note);
    for (const { id, text } of lost) {
      // A kernel that is the same goes on with what it has taken in. Under another name it is found
      // by Up, and nobody is told to ask it again.
      const isUnheard = unheard.some((one) => one.id === id);
      giveBack(
        this.state,
        { id: isSame && !isUnheard ? `taken ${id}` : id, text },
        this.#changes.note,
      );
    }
    const gone = trans.__("The kernel that was asked is gone. Try again.");
    const missed = trans.__("The reply of the kernel was lost. Try again.");
    if (this.#isOther || this.#hasMissed)
      this.#requests.failBefore(greeting, this.#isOther ? gone : missed);
    this.#isOther = this.#hasMissed = false;
  }
}
