/** What the panel knows of its chat, and how messages change it. No comm, no page. */

import type {
  Message,
  MessageOf,
  Notice,
  Pending,
  Progress,
  Status,
  Transcript,
  TurnData,
} from "../connection/messages.js";

/** A turn, and how far reading is. */
export type Turn = TurnData & { progress: Progress | null };

/** What was typed, and whoever typed it gets back. */
interface Returned {
  id: string;
  text: string;
}

/** So many of what came to nothing are kept, for Up to find. */
const MOST_RETURNED = 20;

export interface State {
  connection: "connecting" | "failed" | "ready";
  /** Which one it is; another after a restart. */
  kernel: string | null;
  chat: string | null;
  path: readonly number[];
  /** Those of the path, and new ones that will be on it. */
  turns: Map<number, Turn>;
  notices: readonly Notice[];
  pending: readonly Pending[];
  /** The latest that came to nothing. */
  returned: readonly Returned[];
  /** The requests that turns have come of, by their numbers. */
  begun: Map<number, string>;
  status: Status | null;
  /** The kernel has not even taken in something that it was sent. */
  waiting: boolean;
  error: { text: string } | null;
  transcript: Transcript | null;
}

export type Topic =
  | "connection"
  | "path"
  | "turn"
  | "notices"
  | "pending"
  | "returned"
  | "status"
  | "waiting"
  | "error"
  | "transcript";

/** Collects what a message has changed. `number` is the turn's. */
type Note = (topic: Topic, number?: number) => void;

export function emptyState(): State {
  return {
    connection: "connecting",
    kernel: null,
    chat: null,
    path: [],
    turns: new Map(),
    notices: [],
    pending: [],
    returned: [],
    begun: new Map(),
    status: null,
    waiting: false,
    error: null,
    transcript: null,
  };
}

/**
 * Take in a message. Turns, notices, and lists are replaced, never changed. False if something
 * before it must have been missed.
 */
export function apply(state: State, message: Message, note: Note): boolean {
  switch (message.type) {
    case "turn":
      if (message.id !== null) beginTurn(state, message.turn.number, message.id, note);
      setTurn(state, { ...message.turn, progress: null }, note);
      return true;
    case "delta":
      return changeTurn(state, message.number, note, (turn) => ({
        ...turn,
        text: turn.text + message.text,
        reasoning: turn.reasoning + message.reasoning,
        state: "writing",
        progress: null,
      }));
    case "path":
      return setPath(state, message.path, note);
    case "progress":
      return setProgress(state, message, note);
    case "pending":
      setPending(state, message.pending, note);
      return true;
    case "cancelled":
      giveBack(state, message, note);
      return true;
    case "notice":
      endPending(state, message.id, note);
      state.notices = withEntry(state.notices, message);
      note("notices");
      return true;
    case "dismissed":
      state.notices = state.notices.filter(({ id }) => id !== message.id);
      note("notices");
      return true;
    case "status":
      state.status = message;
      note("status");
      return true;
    case "transcript":
      state.transcript = { data: message.data, metadata: message.metadata };
      note("transcript");
      return true;
    default:
      return true;
  }
}

/**
 * Put what a snapshot says in the place of all there was. `unsent` are requests that the kernel did
 * not know of yet.
 */
export function applySnapshot(
  state: State,
  snapshot: MessageOf<"snapshot">,
  unsent: readonly Pending[],
  note: Note,
): void {
  for (const number of state.turns.keys()) note("turn", number);
  state.turns.clear();
  state.begun.clear();
  for (const turn of snapshot.turns) setTurn(state, { ...turn, progress: null }, note);
  state.connection = "ready";
  state.kernel = snapshot.kernel;
  state.chat = snapshot.chat;
  state.path = snapshot.path;
  state.status = snapshot.status;
  state.notices = snapshot.notices;
  state.pending = snapshot.pending;
  for (const pending of unsent) setPending(state, pending, note);
  for (const topic of ["connection", "path", "status", "notices", "pending"] as const) note(topic);
}

/**
 * What was asked of another kernel, or on a line that is no more, and never answered: what a
 * snapshot of the kernel that is there now knows nothing of. `unsent` are requests that this kernel
 * did not know of yet.
 */
export function lostBy(
  { pending, turns, begun }: State,
  snapshot: MessageOf<"snapshot">,
  unsent: readonly Pending[],
): Returned[] {
  const told = [...unsent, ...snapshot.pending, ...snapshot.notices];
  const known = new Set([...told.map(({ id }) => id), ...begun.values()]);
  const others = snapshot.turns.filter(({ number }) => !turns.has(number));
  const isThere = ({ number, prompt }: Turn) =>
    snapshot.turns.some((turn) => turn.number === number && turn.prompt === prompt);
  return [
    ...[...turns.values()]
      .filter((turn) => turn.state !== "finished" && !isThere(turn))
      .map(({ number, prompt }) => ({ id: begun.get(number) ?? `turn ${number}`, text: prompt })),
    ...pending.filter(({ id, text }) => !known.has(id) && !others.some((t) => t.prompt === text)),
  ];
}

export function setPending(state: State, pending: Pending, note: Note): void {
  state.pending = withEntry(state.pending, pending);
  note("pending");
}

function endPending(state: State, id: string, note: Note): void {
  const left = state.pending.filter((pending) => pending.id !== id);
  if (left.length === state.pending.length) return;
  state.pending = left;
  note("pending");
}

/** Take in that a request came to nothing: what was typed is not to be lost. */
export function giveBack(state: State, { id, text }: Returned, note: Note): void {
  endPending(state, id, note);
  state.returned = withEntry(state.returned, { id, text }).slice(-MOST_RETURNED);
  note("returned");
}

export function setError(state: State, text: string | null, note: Note): void {
  if (text === null && state.error === null) return;
  state.error = text === null ? null : { text };
  note("error");
}

function setPath(state: State, path: readonly number[], note: Note): boolean {
  if (!path.every((number) => state.turns.has(number))) return false;
  const shown = new Set(path);
  for (const number of state.turns.keys()) {
    if (!shown.has(number)) {
      state.turns.delete(number);
      note("turn", number);
    }
  }
  for (const number of path) {
    const id = state.begun.get(number);
    if (id !== undefined) endPending(state, id, note);
  }
  state.path = path;
  note("path");
  return true;
}

/**
 * Let a turn take the place of a request. Until it is on the path the request is still shown, lest
 * its prompt vanish from the page for a moment.
 */
function beginTurn(state: State, number: number, id: string, note: Note): void {
  state.begun.set(number, id);
  if (state.path.includes(number)) endPending(state, id, note);
}

function setProgress(
  state: State,
  { id, number, progress }: MessageOf<"progress">,
  note: Note,
): boolean {
  const pending = state.pending.find((entry) => entry.id === id);
  if (pending) setPending(state, { ...pending, progress }, note);
  if (number === null) return true;
  return changeTurn(state, number, note, (turn) => ({ ...turn, progress }));
}

function setTurn(state: State, turn: Turn, note: Note): void {
  state.turns.set(turn.number, turn);
  note("turn", turn.number);
}

function changeTurn(
  state: State,
  number: number,
  note: Note,
  change: (turn: Turn) => Turn,
): boolean {
  const turn = state.turns.get(number);
  if (turn) setTurn(state, change(turn), note);
  return turn !== undefined;
}

/** The list with an entry, in the place of the one with its id if there is one. */
function withEntry<T extends { id: string }>(entries: readonly T[], entry: T): readonly T[] {
  const index = entries.findIndex(({ id }) => id === entry.id);
  return index < 0 ? [...entries, entry] : entries.with(index, entry);
}
