/** One action on one cell, from the question to what comes of it. */

import type { Action, MessageOf, Progress, Request } from "../connection/messages.js";
import type { Sent } from "../connection/requests.js";

/** How an action stands. An instruction is asked for first; `failed` says why nothing came of it. */
export type TaskState =
  | { kind: "asking" }
  | { kind: "working"; progress: Progress | null; text: string }
  | { kind: "proposal"; proposal: MessageOf<"proposal"> }
  | { kind: "answer"; answer: MessageOf<"answer"> }
  | { kind: "failed"; reason: string }
  | { kind: "over" };

/** Who does the work: a connection. */
export interface Asked {
  request(request: Request, onNews?: (message: { type: string }) => void): Sent;
}

/** The cell as it was when the action began; nothing that is done later in the page changes it. */
export type Target = Pick<Extract<Request, { type: "act" }>, "cell" | "selection">;

/** An action under way. `onChange` is called whenever it stands otherwise. */
export class Task {
  readonly action: Action;
  readonly target: Target;
  /** What stood in the box when it went from the page without being sent. */
  draft = "";
  readonly #asked: Asked;
  readonly #onChange: () => void;
  #state: TaskState = { kind: "asking" };
  #request: string | null = null;

  constructor(asked: Asked, action: Action, target: Target, onChange: () => void) {
    this.#asked = asked;
    this.action = action;
    this.target = target;
    this.#onChange = onChange;
  }

  get state(): TaskState {
    return this.#state;
  }

  /** Have it done. */
  begin(instruction: string | null = null): void {
    this.#become({ kind: "working", progress: null, text: "" });
    const { action, target } = this;
    const request: Request = { type: "act", action, ...target, instruction, former: null };
    const { id, reply } = this.#asked.request(request, (news) => this.#hear(news));
    this.#request = id;
    reply.then(
      (message) => {
        if (this.#state.kind !== "working") return;
        if (message.type === "proposal") this.#become({ kind: "proposal", proposal: message });
        else if (message.type === "answer") this.#become({ kind: "answer", answer: message });
      },
      (error: Error) => {
        if (this.#state.kind === "working") {
          this.#become({ kind: "failed", reason: error.message });
        }
      },
    );
  }

  /** Let go of it: the work stops, a proposal is dropped, an answer is put away. */
  end(): void {
    if (this.#state.kind === "working" && this.#request !== null) {
      this.#asked.request({ type: "stop", target: this.#request });
    }
    if (this.#state.kind !== "over") this.#become({ kind: "over" });
  }

  #hear(news: { type: string }): void {
    if (news.type !== "progress" || this.#state.kind !== "working") return;
    const { progress, text, is_new } = news as MessageOf<"progress">;
    const before = is_new ? "" : this.#state.text;
    this.#become({ kind: "working", progress, text: before + text });
  }

  #become(state: TaskState): void {
    this.#state = state;
    this.#onChange();
  }
}

/** What may become of a proposal: it fits, or its cell has changed since, takes no change, or went. */
export type Fit = "fits" | "below" | "edited" | "closed" | "elsewhere" | "gone";

export function fitOf(
  proposal: Pick<MessageOf<"proposal">, "before" | "is_below">,
  source: string,
  isEditable: boolean,
): Fit {
  if (proposal.is_below) return "below";
  if (!isEditable) return "closed";
  return source === proposal.before ? "fits" : "edited";
}
