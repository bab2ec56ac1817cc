/** The messages between front ends and the kernel; jupyter_llm/frontends/comm/messages.py explains them.
 *
 * Messages to and from a chat that a page shows travel in the page's comm as `PanelNews`.
 */

export const TARGET = "jupyter_llm.lab";
export const PROTOCOL = 5;

export type CellKind = "code" | "markdown" | "raw";
export type Action =
  | "explain"
  | "fix"
  | "document"
  | "test"
  | "review"
  | "continue"
  | "next"
  | "edit"
  | "split";
/** What a model is used for. */
export type ModelRole = "chat" | "task" | "complete" | "embed";
export type ActivityState = "none" | "loading" | "idle" | "reading" | "writing";
export type Metadata = Record<string, unknown>;

/** Pages of any protocol read this form, so it never changes. */
export interface Welcome {
  type: "welcome";
  id: string;
  protocol: number;
  version: string;
  model: string | null;
}

export type DocumentCell = { cell_id: string; kind: CellKind; source: string; is_off: boolean };

export interface Activity {
  type: "activity";
  state: ActivityState;
  model: string | null;
  share: number | null;
  kv_used: number;
  kv_room: number;
  process_bytes: number;
  /** The other loaded models, with their roles. */
  beside: string[];
  /** The pull that runs, or the last one. */
  pull: Pull | null;
}

/** A model that is pulled, or was pulled last; `licence` is a text to be accepted first. */
export interface Pull {
  name: string;
  state: "running" | "stopped" | "failed" | "licence" | "done";
  text: string;
  share: number | null;
  licence: string;
  model: string | null;
}

export type Model = { name: string; note: string; roles: ModelRole[] };

/** A chat of the notebook; `title`: its first prompt; `when`: the time of its last turn. */
export type Chat = { name: string; num_turns: number; title: string; when: number | null };

/** A turn that matches a search, with the text around the match. */
export interface Found {
  chat: string;
  number: number;
  place: number;
  when: number;
  before: string;
  words: string;
  after: string;
}

/** The chats of the notebook, and the turns that contain the words of a search. */
export type Chats = { chats: Chat[]; found: Found[] };

export interface Usage {
  prompt_tokens: number;
  cached_tokens: number;
  completion_tokens: number;
  reasoning_tokens: number;
  first_token_s: number;
  tokens_per_s: number;
}

export type Progress = { text: string; share?: number | null };

export type SuggestionKind = "command" | "variable" | "cell" | "file";

/** Without a text it is a file, named by its path. Of a file from the desktop the page sends the start. */
export type Attachment = { label: string; text: string | { start: string; size: number } | null };

export type Pending = { id: string; text: string; progress?: Progress };

export interface TurnData {
  number: number;
  parent: number;
  siblings: number[];
  prompt: string;
  /** Who asked, where several people may. */
  by: string;
  attachments: string[];
  text: string;
  /** The model's thoughts before the text. */
  reasoning: string;
  state: "waiting" | "reading" | "writing" | "finished";
  finish_reason?: string;
  model?: string;
  /** Where the prompt was sent, or empty if it did not leave the machine. */
  host: string;
  seed?: number;
  temperature?: number;
  exact: boolean;
  usage?: Usage;
  /** The cells and variables that the prompt includes. */
  num_cells: number;
  variables: string[];
  /** The request that the turn answers. */
  request?: string;
  /** How far the prompt is read. */
  progress?: Progress;
}

export interface Status {
  model?: string;
  allowed?: number;
  used?: number;
  parts?: { system: number; cells: number; turns: number; variables: number };
  tokens_per_s?: number;
  cached_share?: number;
  num_cells: number;
  is_if_asked: boolean;
  /** A remark about the model. */
  remark: string;
  /** The rules of the project, if prompts include any. */
  rules?: Attachment;
}

/**
 * Code for a cell that was read as `before`, or for a new one, and the ids of the cells to run with it.
 * If `source` equals `before`, nothing changes, and they only have to run. If it is empty, the cell is
 * deleted.
 */
export interface Proposal {
  cell: string | null;
  before: string | null;
  source: string;
  unknown_names: string[];
  runs: string[];
}

/** A token of an answer with its probability; `told` describes both, and the likely alternatives. */
export type Token = { text: string; probability: number; told: string };

/** A command that is offered. */
export type Choice = { label: string; text: string };

export interface Notice {
  id: string;
  after: number;
  prompt: string;
  markdown: string;
  level: "info" | "error";
  is_finished: boolean;
  /** They belong together. */
  proposals: Proposal[];
  choices: Choice[];
  tokens: Token[];
}

/** A chat as its views show it: turns by their numbers, notices and requests by their ids. */
export interface ChatDocument {
  kernel: string;
  name?: string;
  /** The numbers of the turns of the active branch. */
  path: number[];
  turns: Record<string, TurnData>;
  notices: Record<string, Notice>;
  pending: Record<string, Pending>;
  /** The texts of refused prompts, and of requests that were stopped before their first word. */
  returned: Record<string, string>;
  status: Status;
}

/** A merge patch (RFC 7396): null removes, and lists are replaced. */
export type Patch<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { [K in keyof T]?: Patch<T[K]> | null }
    : T;

export interface Suggestion {
  text: string;
  label: string;
  kind: SuggestionKind;
  name: string;
  detail: string;
}

/** The turn or the notice that contains code. */
export type Origin = { number: number | null; notice: string | null };

export interface Checked {
  unknown_names: string[];
  missing_modules: string[];
  note: string;
}

export type Transcript = { data: Record<string, string>; metadata: Metadata };

/** The last of `count` proposals. The next one follows the wish; without a wish it is another draft. */
export type Former = {
  source: string;
  wish: string;
  count: number;
  language: string;
  has_heeded: boolean;
};

/** Code to insert into a cell; `body`: without the line that names its author. */
export type LandingCell = { source: string; body: string; metadata: Metadata };

/** Why a cell is unchanged: it was deleted or edited, or the cell or the notebook is read-only. */
export type Refusal = "gone" | "changed" | "cell" | "notebook";

/** The result of inserting code into the notebook. */
export interface Landing {
  num_replaced: number;
  num_staying: number;
  is_same: boolean;
  refusal: Refusal | null;
}

/**
 * A proposal for a cell, with metadata for it and a remark; `below` are new cells that belong to it.
 * `kinds`: those of all new cells, in order.
 */
export type Change = Proposal & {
  metadata: Metadata;
  markdown: string;
  below?: string[];
  kinds?: CellKind[];
};

/** A proposal that waits for a decision: of an action on a cell, or of a chat. */
export type OpenProposal = {
  action: Action | null;
  cell: string;
  instruction: string | null;
  proposal: Change;
};

export type Models = { here: Model[]; suited: Model[] };
export type Suggestions = { start: number; end: number; items: Suggestion[] };
export type Prepared = { source: string; metadata: Metadata; note: string };

/** A prompt or a command; `is_alone`: without the notebook. */
export type Prompt = { text: string; attachments: readonly Attachment[]; is_alone: boolean };
type Sampling = { seed: number | null; temperature: number | null };
type Edit = { revision: number; at: number; remove: number; insert: DocumentCell[] };
type Nothing = Record<string, never>;

/** The place of the cursor, and how much is wanted there. */
export interface GhostPlace {
  cell_id: string;
  kind: CellKind;
  prefix: string;
  suffix: string;
  is_invoked: boolean;
  num_items: number;
  max_lines: number;
}

/**
 * The methods of the kernel, with their arguments and results; the kernel declares each with `@call`.
 * Pages call the methods of a notebook, the front ends of chats those of a chat.
 */
export interface Calls {
  // any
  stop(one: { target: number | string | null }): null;
  draft(written: { prompt: Prompt; cell: string | null }): null;
  watch_activity(wish: { is_on: boolean }): null;
  list_models(none: Nothing): Models;
  use_model(chosen: { model: string; role: ModelRole }): null;
  start_pull(chosen: { model: string; accepts_licence: boolean }): null;
  end_pull(none: Nothing): null;
  // a page
  hello(page: { protocol: number; client: string; path: string }): Welcome;
  cells(edit: Edit): null;
  complete(asked: { revision: number; place: GhostPlace }): string | null;
  focus(place: { revision: number; cell: string }): null;
  act(asked: {
    action: Action;
    cell: { id: string; source: string; error: string | null; kind: CellKind };
    selection: [number, number] | null;
    instruction: string | null;
    task: string;
    former: Former | null;
  }): Change | string;
  open_proposals(none: Nothing): Record<string, OpenProposal>;
  keep_proposal(state: { task: string; waiting: OpenProposal | null; is_accepted: boolean }): null;
  undo(none: Nothing): string;
  landed(result: { target: string; landing: Landing }): null;
  show_chat(panel: { panel_id: string; chat: string }): null;
  hide_chat(panel: { panel_id: string }): null;
  list_chats(search: { words: string }): Chats;
  rename_chat(names: { name: string; new_name: string }): Chats;
  export_chat(one: { name: string }): string;
  delete_chat(one: { name: string }): Chats;
  record(made: { metadata: Metadata; text: string | null }): string;
  // the front end of a chat
  follow(view: { can_write_cells: boolean }): null;
  bye(none: Nothing): null;
  send(
    prompt: Sampling & { prompt: Prompt; after: number | null; like: number | null; by: string },
  ): null;
  regenerate(turn: Sampling & { number: number }): null;
  choose(turn: { number: number }): null;
  remove(one: { target: number | string }): null;
  suggest(place: { text: string; cursor: number; open_notebooks: string[] }): Suggestions;
  describe(suggestion: { kind: SuggestionKind; name: string }): string;
  check(code: { origin: Origin; sources: string[]; tries: boolean }): Checked[];
  prepare(code: { origin: Origin; source: string }): Prepared;
  land(code: { origin: Origin; source: string; in_place: boolean }): string;
}

export type Method = keyof Calls;
export type Arguments<M extends Method> = Parameters<Calls[M]>[0];
export type Reply<M extends Method> = ReturnType<Calls[M]>;

/** A message to the kernel. Pages of any protocol say hello in this form, so it never changes. */
export type Call =
  | { type: "call"; id: string; method: Method; arguments: Arguments<Method> }
  | ({ type: "hello"; id: string } & Arguments<"hello">);

/** A message from the kernel. */
export type Message =
  | { type: "ack"; id: string }
  | { type: "error"; id: string | null; text: string }
  | {
      type: "progress";
      id: string;
      progress: Progress;
      text: string;
      is_new: boolean;
    }
  | { type: "reply"; id: string; value: Reply<Method> }
  | Activity
  // to a page
  | Welcome
  | { type: "model"; model: string | null }
  | {
      type: "put-cells";
      id: string;
      page: string | null;
      cell: string;
      before: string | null;
      cells: LandingCell[];
    }
  | { type: "anybody" }
  | { type: "show-fix"; cell: string }
  | { type: "proposed"; task: string; waiting: OpenProposal | null }
  | { type: "resend" }
  | { type: "completion"; id: string; item: number; text: string; is_final: boolean }
  // to the front end of a chat
  | { type: "document"; id: string; document: Patch<ChatDocument> }
  | { type: "patch"; patch: Patch<ChatDocument> }
  | { type: "delta"; number: number; text: string; reasoning: string }
  | ({ type: "transcript"; writer: string } & Transcript);

/** A message with its number, so that a lost one is noticed. */
export type Numbered = Message & { seq: number };

/** A message to or from a chat that a page shows, by the id of its panel. */
export type PanelNews = { panel: string; message: Record<string, unknown> };

export type MessageOf<T extends Message["type"]> = Extract<Message, { type: T }>;
