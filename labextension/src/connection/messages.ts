/** What the extension and the kernel say to each other; jupyter_llm/frontends/lab/messages.py tells more. */

export const TARGET = "jupyter_llm.lab";
export const PROTOCOL = 1;

export type CellKind = "code" | "markdown" | "raw";
export type Action = "explain" | "fix" | "document" | "test" | "review" | "continue" | "edit";
export type LabState = "none" | "loading" | "idle" | "waiting" | "reading" | "writing";
export type Metadata = Record<string, unknown>;

export interface DocumentCell {
  id: string;
  kind: CellKind;
  source: string;
  is_off: boolean;
}

export interface LabStatus {
  state: LabState;
  model: string | null;
  share: number | null;
  kv_used: number;
  kv_room: number;
  process_bytes: number;
  /** The other models that are loaded, and what for. */
  beside: string[];
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

export interface Model {
  name: string;
  facts: string[];
  is_loaded: boolean;
}

export interface ModelTable {
  columns: string[];
  models: Model[];
}

export interface Usage {
  prompt_tokens: number;
  cached_tokens: number;
  completion_tokens: number;
  first_token_s: number;
}

export interface Progress {
  text: string;
  share: number | null;
}

/** What is asked of the kernel; an id is added when it is sent. */
export type Request =
  | { type: "hello"; protocol: number; client: string; path: string }
  | { type: "path"; path: string }
  | { type: "cells"; revision: number; at: number; remove: number; insert: DocumentCell[] }
  | {
      type: "complete";
      revision: number;
      cell: string;
      prefix: string;
      suffix: string;
      is_invoked: boolean;
      num_items: number;
      max_lines: number;
    }
  | { type: "focus"; revision: number; cell: string }
  | { type: "cancel"; target: string }
  | { type: "shown"; target: string; item: number; source: string }
  | {
      type: "act";
      action: Action;
      cell: { id: string; source: string; error: string | null };
      selection: { start: number; end: number } | null;
      instruction: string | null;
    }
  | { type: "draft"; cell: string; source: string }
  | { type: "panel-open"; panel: string; chat: string }
  | { type: "panel"; panel: string; message: Record<string, unknown> }
  | { type: "panel-close"; panel: string }
  | { type: "list-chats" }
  | { type: "rename-chat"; name: string; new_name: string }
  | { type: "export-chat"; name: string }
  | { type: "delete-chat"; name: string }
  | { type: "record"; metadata: Metadata; text: string | null }
  | { type: "watch-status"; is_on: boolean }
  | { type: "list-models" }
  | { type: "use"; model: string | null }
  | { type: "pull"; model: string; accepts_licence: boolean }
  | { type: "stop-pull" }
  | { type: "forget-pull" };

/** What the kernel says. */
export type Message =
  | { type: "ack"; id: string }
  | { type: "error"; id: string | null; text: string }
  | {
      type: "welcome";
      id: string;
      protocol: number;
      version: string;
      model: string | null;
    }
  | { type: "model"; model: string | null }
  | { type: "resend" }
  | { type: "completion"; id: string; item: number; text: string; is_final: boolean }
  | { type: "completed"; id: string; usage: Usage[]; reason: string | null }
  | { type: "accepted"; id: string; metadata: Metadata }
  | { type: "progress"; id: string; progress: Progress; text: string }
  | {
      type: "proposal";
      id: string;
      cell: string;
      before: string;
      source: string;
      is_below: boolean;
      unknown_names: string[];
      metadata: Metadata;
      markdown: string;
    }
  | { type: "answer"; id: string; chat: string; number: number | null; markdown: string }
  | { type: "panel-message"; panel: string; message: Record<string, unknown> }
  | { type: "chats"; id: string; chats: { name: string; num_turns: number }[] }
  | { type: "exported"; id: string; markdown: string }
  | { type: "record-text"; id: string; markdown: string }
  | { type: "status"; status: LabStatus }
  | { type: "pull"; pull: Pull | null }
  | { type: "models"; id: string; here: ModelTable; suited: ModelTable }
  | { type: "done"; id: string };

export type MessageOf<T extends Message["type"]> = Extract<Message, { type: T }>;

const TYPES: Record<Message["type"], true> = {
  ack: true,
  error: true,
  welcome: true,
  model: true,
  resend: true,
  completion: true,
  completed: true,
  accepted: true,
  progress: true,
  proposal: true,
  answer: true,
  "panel-message": true,
  chats: true,
  exported: true,
  "record-text": true,
  status: true,
  pull: true,
  models: true,
  done: true,
};

/** Tell whether something that came over the comm is a message of a kernel that speaks as we do. */
export function isMessage(data: unknown): data is Message {
  const type = (data as { type?: unknown } | null)?.type;
  return typeof type === "string" && Object.hasOwn(TYPES, type);
}
