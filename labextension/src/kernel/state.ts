/** The state of a chat's panel, and how messages change it. No comm, no page. */

import type {
  ChatDocument,
  Message,
  Patch,
  Pending,
  Transcript,
  TurnData,
} from "../connection/messages.js";

/** A text that was typed, and that its author gets back. */
interface Returned {
  id: string;
  text: string;
}

/** So many returned texts are kept, for Up to find. */
const MOST_RETURNED = 20;

export interface State {
  connection: "connecting" | "failed" | "ready";
  /** The chat as the kernel has sent it; replaced with each change, as are its parts. */
  chat: ChatDocument;
  /** Requests of this page that the chat does not hold yet. */
  unsent: readonly Pending[];
  /** The latest texts that came to nothing, here or in the kernel. */
  returned: readonly Returned[];
  /** Whether the kernel has not even received a request. */
  waiting: boolean;
  error: { text: string } | null;
  transcript: Transcript | null;
}

/** `turns` comes with the numbers of the turns that are new, other, or gone. */
export type Topic = keyof ChatDocument | "connection" | "waiting" | "error" | "transcript";

/** Collects what a message has changed. `number` is the turn's. */
type Note = (topic: Topic, number?: number) => void;

const NOTHING: ChatDocument = {
  ...{ kernel: "", path: [], turns: {}, notices: {}, pending: {}, returned: {} },
  status: { num_cells: 0, is_if_asked: false, remark: "" },
};

export function emptyState(): State {
  return {
    connection: "connecting",
    chat: NOTHING,
    unsent: [],
    returned: [],
    waiting: false,
    error: null,
    transcript: null,
  };
}

/** Apply a merge patch, as RFC 7396 says; what it does not name stays the same object. */
export function merged(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = merged(result[name], value);
  }
  return result;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Take in a message. False if something before it must have been missed. */
export function apply(state: State, message: Message, note: Note): boolean {
  switch (message.type) {
    case "patch":
      applyPatch(state, state.chat, message.patch, note);
      return true;
    case "delta": {
      const { turns } = state.chat;
      const { progress: _, ...turn } = turns[message.number] ?? {};
      if (!("number" in turn)) return false;
      const text = turn.text + message.text;
      const reasoning = turn.reasoning + message.reasoning;
      const grown: TurnData = { ...turn, text, reasoning, state: "writing" };
      state.chat = { ...state.chat, turns: { ...turns, [message.number]: grown } };
      note("turns", message.number);
      return true;
    }
    case "transcript":
      state.transcript = { data: message.data, metadata: message.metadata };
      note("transcript");
      return true;
    default:
      return true;
  }
}

/**
 * Replace the whole chat. `unsent` are requests that the kernel had not received when it sent the
 * chat.
 */
export function applyDocument(
  state: State,
  document: Patch<ChatDocument>,
  unsent: readonly Pending[],
  note: Note,
): void {
  for (const number of Object.keys(state.chat.turns)) note("turns", Number(number));
  state.connection = "ready";
  note("connection");
  state.unsent = unsent;
  applyPatch(state, NOTHING, document, note);
}

function applyPatch(
  state: State,
  before: ChatDocument,
  patch: Patch<ChatDocument>,
  note: Note,
): void {
  state.chat = merged(before, patch) as ChatDocument;
  for (const topic of Object.keys(patch)) note(topic as Topic);
  for (const number of Object.keys(patch.turns ?? {})) note("turns", Number(number));
  for (const [id, text] of Object.entries(patch.returned ?? {})) {
    if (text) giveBack(state, { id, text }, note);
  }
  const known = idsOf(state.chat);
  state.unsent = state.unsent.filter(({ id }) => !known.has(id));
}

/** The requests that a chat holds in any form. */
function idsOf({ turns, notices, pending, returned }: ChatDocument): Set<string | undefined> {
  const answered = Object.values(turns).map(({ request }) => request);
  return new Set([...answered, ...[notices, pending, returned].flatMap(Object.keys)]);
}

/** The requests that have no turn and no notice yet. */
export function pendingOf({ chat, unsent }: State): Pending[] {
  return [...Object.values(chat.pending), ...unsent];
}

/**
 * Return the requests that another kernel, or this one on a former line, never answered: the
 * `document` of the present kernel does not hold them, and neither do `unsent`, which it has not
 * received yet.
 */
export function lostBy(
  state: State,
  document: Patch<ChatDocument>,
  unsent: readonly Pending[],
): Returned[] {
  const now = merged(NOTHING, document) as ChatDocument;
  const { turns } = state.chat;
  const known = new Set([...idsOf(now), ...idsOf({ ...NOTHING, turns })]);
  for (const { id } of unsent) known.add(id);
  const others = Object.values(now.turns).filter(({ number }) => !turns[number]);
  const isThere = ({ number, prompt }: TurnData) => now.turns[number]?.prompt === prompt;
  return [
    ...Object.values(turns)
      .filter((turn) => turn.state !== "finished" && !isThere(turn))
      .map(({ number, prompt, request }) => ({ id: request ?? `turn ${number}`, text: prompt })),
    ...pendingOf(state).filter(
      ({ id, text }) => !known.has(id) && !others.some(({ prompt }) => prompt === text),
    ),
  ];
}

export function addUnsent(state: State, pending: Pending, note: Note): void {
  state.unsent = [...state.unsent, pending];
  note("pending");
}

/** Return a text that came to nothing to its author. */
export function giveBack(state: State, { id, text }: Returned, note: Note): void {
  state.unsent = state.unsent.filter((pending) => pending.id !== id);
  const others = state.returned.filter((one) => one.id !== id);
  state.returned = [...others, { id, text }].slice(-MOST_RETURNED);
  note("pending");
  note("returned");
}

export function setError(state: State, text: string | null, note: Note): void {
  if (text === null && state.error === null) return;
  state.error = text === null ? null : { text };
  note("error");
}
