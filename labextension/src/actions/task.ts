/** One action on one cell, from the question to what comes of it. */

import type { Connection } from "../connection/connection.js";
import type {
  Action,
  Arguments,
  Change,
  Former,
  Message,
  OpenProposal,
  Progress,
  Reply,
} from "../connection/messages.js";
import type { Sent } from "../connection/requests.js";
import { randomId } from "../dom/random_id.js";

/**
 * The state of an action. An instruction is asked for first; `reason` says why the action failed, and
 * `problem` why there is no other proposal.
 */
export type TaskState =
  | { kind: "asking" }
  | { kind: "working"; progress: Progress | null; text: string }
  | { kind: "proposal"; proposal: Change; problem: string }
  | { kind: "answer"; answer: string }
  | { kind: "failed"; reason: string }
  | { kind: "over" };

/** The cell as it was when the action began; nothing that is done later in the page changes it. */
export type Target = Pick<Arguments<"act">, "cell" | "selection">;

/** Whether a proposal changes nothing: cells have to run. */
export function onlyRuns({ source, before }: Change): boolean {
  return source === before;
}

/** Whether a proposal deletes its cell: nothing is left of it. */
export function deletes({ source, before }: Change): boolean {
  return source === "" && Boolean(before);
}

/** Whether a proposal fits its cell, which may have changed since, be read-only, or be deleted. */
export type Fit = "fits" | "below" | "edited" | "closed" | "locked" | "shut" | "elsewhere" | "gone";

/**
 * An action under way, or without one a change that a chat proposes. `onChange` is called whenever
 * its state changes.
 */
export class Task {
  readonly action: Action | null;
  /** Its name, under which the kernel keeps the proposal for other pages and after a reload. */
  readonly id: string;
  readonly #asked: Pick<Connection, "call">;
  readonly #onChange: () => void;
  #target: Target;
  #instruction: string | null = null;
  #state: TaskState = { kind: "asking" };
  #request: string | null = null;
  #count = 0;
  /** The person's last wish, and the proposal that it was about. */
  #wished: Pick<Former, "source" | "wish"> | null = null;
  /** It stays until there is another one. */
  #proposal: Change | null = null;
  /** The sources that the proposal fits, without blanks at the end: with parts of it, too. */
  readonly #bases = new Set<string>();

  constructor(
    asked: Pick<Connection, "call">,
    action: Action | null,
    target: Target,
    onChange: () => void,
    id = randomId(),
  ) {
    this.id = id;
    this.#asked = asked;
    this.action = action;
    this.#target = target;
    this.#onChange = onChange;
  }

  get state(): TaskState {
    return this.#state;
  }

  /** Whether there is a proposal that was neither accepted nor rejected. */
  get isUndecided(): boolean {
    return this.#proposal !== null && this.#state.kind !== "over";
  }

  /** The cell and the instruction. */
  get about(): Target & { instruction: string | null } {
    return { ...this.#target, instruction: this.#instruction };
  }

  /** Show what a chat proposes. */
  show(proposal: Change): void {
    this.#propose(proposal);
    this.#keep();
  }

  /** Go on from a proposal that the kernel has kept. */
  resume({ instruction, proposal }: OpenProposal): void {
    this.#instruction = instruction;
    this.#count ||= 1;
    this.#propose(proposal);
  }

  /** Have it done. */
  begin(instruction: string | null = null): void {
    this.#instruction = instruction;
    this.#ask(null);
  }

  /** Have it done once more for the cell as it stands: as a person wishes or wished, or otherwise. */
  again(source: string, wish = ""): void {
    const { cell, selection } = this.#target;
    const isSame = source === cell.source;
    this.#target = { cell: { ...cell, source }, selection: isSame ? selection : null };
    const language = cell.kind === "code" ? "python" : cell.kind;
    const source_before = this.#proposal?.source ?? "";
    const has_heeded = !wish && this.#wished !== null;
    if (wish) this.#wished = { source: source_before, wish };
    const about = this.#wished ?? { source: source_before, wish };
    this.#ask({ ...about, count: this.#count, language, has_heeded });
  }

  /** Propose less of it. */
  narrow(source: string): void {
    if (!this.#proposal) return;
    this.#propose({ ...this.#proposal, source });
    this.#keep();
  }

  /** Let the cell become a part of what is proposed. */
  allow(source: string): void {
    this.#bases.add(source.trimEnd());
    if (!this.#proposal) return;
    this.#proposal = { ...this.#proposal, before: source };
    this.#keep();
  }

  /** Whether the proposal fits a cell with this source, or why not. */
  fit(source: string, isEditable: boolean): Fit {
    if (this.#proposal?.before === null) return "below";
    if (!isEditable) return "closed";
    return this.#bases.has(source.trimEnd()) ? "fits" : "edited";
  }

  /**
   * Stop what is being written: what was proposed before is there again, and the words of an answer
   * stay. False if there is neither.
   */
  stop(): boolean {
    if (this.#state.kind !== "working") return false;
    const { text } = this.#state;
    const isAnswer = this.action === "explain" || this.action === "review";
    if (!this.#proposal && !(isAnswer && text)) return false;
    this.#cancel();
    if (this.#proposal) this.#propose(this.#proposal);
    else this.#become({ kind: "answer", answer: text });
    return true;
  }

  /** Let go of it: the work stops, a proposal is dropped, an answer is put away. */
  end(isAccepted = false): void {
    const isKept = this.#proposal !== null || this.#request !== null;
    this.#cancel();
    this.leave();
    if (isKept) this.#keep(isAccepted);
  }

  /** Show it no longer in this page; for others the work goes on and a proposal stays. */
  leave(): void {
    this.#request = null;
    this.#proposal = null;
    if (this.#state.kind !== "over") this.#become({ kind: "over" });
  }

  /** Have the kernel keep the proposal as it is now, or none. */
  #keep(is_accepted = false): void {
    const { action, id: task } = this;
    const [{ cell }, instruction, proposal] = [this.#target, this.#instruction, this.#proposal];
    const waiting = proposal && { action, cell: cell.id, instruction, proposal };
    this.#asked.call("keep_proposal", { task, waiting, is_accepted });
  }

  #ask(former: Former | null): void {
    const { action } = this;
    if (action === null) return; // a chat is asked in the chat
    this.#count += 1;
    this.#become({ kind: "working", progress: null, text: "" });
    const isCurrent = () => sent.id === this.#request;
    const asked = { action, ...this.about, task: this.id, former };
    const hear = (news: Message) => isCurrent() && this.#hear(news);
    const sent: Sent<"act"> = this.#asked.call("act", asked, hear);
    this.#request = sent.id;
    sent.then(
      (reply) => isCurrent() && this.#take(reply),
      ({ message }: Error) => isCurrent() && this.#fail(message),
    );
  }

  #take(reply: Reply<"act">): void {
    this.#request = null;
    if (typeof reply === "string") this.#become({ kind: "answer", answer: reply });
    else {
      this.#bases.clear();
      this.#propose(reply);
    }
  }

  #fail(reason: string): void {
    this.#request = null;
    if (this.#proposal) this.#propose(this.#proposal, reason);
    else this.#become({ kind: "failed", reason });
  }

  #propose(proposal: Change, problem = ""): void {
    this.#proposal = proposal;
    if (proposal.before !== null) this.#bases.add(proposal.before.trimEnd());
    this.#become({ kind: "proposal", proposal, problem });
  }

  #hear(news: Message): void {
    if (news.type !== "progress" || this.#state.kind !== "working") return;
    const { progress, text, is_new } = news;
    const before = is_new ? "" : this.#state.text;
    this.#become({ kind: "working", progress, text: before + text });
  }

  #cancel(): void {
    if (this.#request !== null) this.#asked.call("stop", { target: this.#request });
    this.#request = null;
  }

  #become(state: TaskState): void {
    this.#state = state;
    this.#onChange();
  }
}
