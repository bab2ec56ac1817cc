/** What front ends and the kernel say to each other; jupyter_llm/frontends/comm/messages.py tells more.
 *
 * What is said to and by a chat that a page shows lies in the page's comm as `PanelNews`.
 */

export const TARGET = "jupyter_llm.lab";
export const PROTOCOL = 4;

export type CellKind = "code" | "markdown" | "raw";
export type Action = "explain" | "fix" | "document" | "test" | "review" | "continue" | "edit";
/** What a model is used for. */
export type ModelRole = "chat" | "task" | "complete" | "embed";
export type ActivityState = "none" | "loading" | "idle" | "reading" | "writing";
export type Metadata = Record<string, unknown>;

export type DocumentCell = { cell_id: string; kind: CellKind; source: string; is_off: boolean };

export interface Activity {
  type: "activity";
  state: ActivityState;
  model: string | null;
  share: number | null;
  kv_used: number;
  kv_room: number;
  process_bytes: number;
  /** The other models that are loaded, and what for. */
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

/** A chat of the notebook; its title is what was asked first, `when` that of the last turn. */
export type Chat = { name: string; num_turns: number; title: string; when: number | null };

/** A turn of a chat, and the piece around the words that were found in it. */
export interface Found {
  chat: string;
  number: number;
  place: number;
  when: number;
  before: string;
  words: string;
  after: string;
}

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

/** Without a text it is a file, called by its path; of one of the desktop the page reads the start. */
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
  /** What was thought before the text. */
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
  /** What is said of the model. */
  remark: string;
}

/** Code for a cell that was read as `before`, or for a new one. */
export interface Proposal {
  cell: string | null;
  before: string | null;
  source: string;
  unknown_names: string[];
}

/** The same in a document, which holds no null. */
export type OfferedCode = Pick<Proposal, "source" | "unknown_names"> & {
  cell?: string;
  before?: string;
};

/** A token of an answer, its probability, and that in words with what else was likely. */
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
  proposal?: OfferedCode;
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
  /** The texts of requests that were stopped before they came to anything. */
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

/** The turn or the notice that code stands in. */
export type Origin = { number: number | null; notice: string | null };

export interface Checked {
  unknown_names: string[];
  missing_modules: string[];
  note: string;
}

export type Transcript = { data: Record<string, string>; metadata: Metadata };

/** The last of `count` proposals: the next one heeds the wish, or else is another draft. */
export type Former = {
  source: string;
  wish: string;
  count: number;
  language: string;
  has_heeded: boolean;
};

/** Code on its way into a cell; `body` is without the line that says whose it is. */
export type LandingCell = { source: string; body: string; metadata: Metadata };

/** Why a cell is left as it is: it is gone or was changed, or it or the notebook is read-only. */
export type Refusal = "gone" | "changed" | "cell" | "notebook";

/** What has come of code that was to land. */
export interface Landing {
  num_replaced: number;
  num_staying: number;
  is_same: boolean;
  refusal: Refusal | null;
}

/** What is asked of the kernel; an id is added when it is sent. */
export type Request =
  // from any
  | { type: "stop"; target: number | string | null }
  | {
      type: "draft";
      text: string;
      cell: string | null;
      attachments: readonly Attachment[];
      is_alone: boolean;
    }
  | { type: "watch-activity"; is_on: boolean }
  | { type: "list-models" }
  | { type: "use-model"; model: string; role: ModelRole }
  | { type: "start-pull"; model: string; accepts_licence: boolean }
  | { type: "end-pull" }
  // from a page about its notebook
  | { type: "hello"; protocol: number; client: string; path: string }
  | { type: "cells"; revision: number; at: number; remove: number; insert: DocumentCell[] }
  | {
      type: "complete";
      revision: number;
      cell_id: string;
      kind: CellKind;
      prefix: string;
      suffix: string;
      is_invoked: boolean;
      num_items: number;
      max_lines: number;
    }
  | { type: "focus"; revision: number; cell: string }
  | {
      type: "act";
      action: Action;
      cell: { id: string; source: string; error: string | null; kind: CellKind };
      selection: [number, number] | null;
      instruction: string | null;
      former: Former | null;
    }
  | { type: "landed"; target: string; landing: Landing }
  | { type: "show-chat"; panel_id: string; chat: string | null }
  | { type: "list-chats"; words: string }
  | { type: "rename-chat"; name: string; new_name: string }
  | { type: "export-chat"; name: string }
  | { type: "delete-chat"; name: string }
  | { type: "record"; metadata: Metadata; text: string | null }
  // from the front end of a chat
  | { type: "follow"; can_write_cells: boolean }
  | { type: "bye" }
  | {
      type: "send";
      text: string;
      after: number | null;
      like: number | null;
      attachments: readonly Attachment[];
      seed: number | null;
      temperature: number | null;
      is_alone: boolean;
      by: string;
    }
  | { type: "regenerate"; number: number; seed: number | null; temperature: number | null }
  | { type: "choose"; number: number }
  | { type: "remove"; target: number | string }
  | { type: "suggest"; text: string; cursor: number }
  | { type: "describe"; kind: SuggestionKind; name: string }
  | ({ type: "check"; sources: string[]; tries: boolean } & Origin)
  | ({ type: "prepare"; source: string } & Origin)
  | ({ type: "land"; source: string; in_place: boolean } & Origin);

/** What the kernel says. */
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
  | { type: "text"; id: string; text: string }
  | { type: "done"; id: string }
  | Activity
  | { type: "models"; id: string; here: Model[]; suited: Model[] }
  // to a page
  | { type: "welcome"; id: string; protocol: number; version: string; model: string | null }
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
  | { type: "resend" }
  | { type: "completion"; id: string; item: number; text: string; is_final: boolean }
  | { type: "completed"; id: string; usage: Usage[]; reason: string | null }
  | { type: "proposal"; id: string; proposal: Proposal; metadata: Metadata; markdown: string }
  | { type: "chats"; id: string; chats: Chat[]; found: Found[] }
  // to the front end of a chat
  | { type: "document"; id: string; document: Patch<ChatDocument> }
  | { type: "patch"; patch: Patch<ChatDocument> }
  | { type: "delta"; number: number; text: string; reasoning: string }
  | ({ type: "transcript"; writer: string } & Transcript)
  | { type: "suggestions"; id: string; start: number; end: number; items: Suggestion[] }
  | { type: "checked"; id: string; results: Checked[] }
  | { type: "prepared"; id: string; source: string; metadata: Metadata; note: string };

/** A message as it comes, so that it is seen when one is missing. */
export type Numbered = Message & { seq: number };

/** A message to or from a chat that a page shows, by the id of its panel. */
export type PanelNews = { panel: string; message: Record<string, unknown> };

export type MessageOf<T extends Message["type"]> = Extract<Message, { type: T }>;
