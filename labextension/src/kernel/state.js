/** What the panel knows of its chat, and how messages change it. No comm, no page. */

/**
 * @import { ChatMessage, ChatMessageOf, Notice, Pending, Progress, Status, Transcript, TurnData }
 *   from "../connection/messages.js"
 */

/** @typedef {TurnData & { progress: Progress | null }} Turn  A turn, and how far reading is. */
/** @typedef {{ id: string, text: string }} Returned  What was typed, and whoever typed it gets back. */

/** So many of what came to nothing are kept, for Up to find. */
const MOST_RETURNED = 20;

/**
 * @typedef {object} State
 * @property {"connecting" | "ready"} connection
 * @property {string | null} kernel  Which one it is; another after a restart.
 * @property {string | null} chat
 * @property {readonly number[]} path
 * @property {Map<number, Turn>} turns  Those of the path, and new ones that will be on it.
 * @property {readonly Notice[]} notices
 * @property {readonly Pending[]} pending
 * @property {readonly Returned[]} returned  The latest that came to nothing.
 * @property {Map<number, string>} begun  The requests that turns have come of, by their numbers.
 * @property {Status | null} status
 * @property {boolean} waiting  The kernel has not even taken in something that it was sent.
 * @property {{ text: string } | null} error
 * @property {Transcript | null} transcript
 */

/**
 * @typedef {"connection" | "path" | "turn" | "notices" | "pending" | "returned" | "status" | "waiting"
 *   | "error" | "transcript"} Topic
 */

/**
 * Collects what a message has changed.
 *
 * @callback Note
 * @param {Topic} topic
 * @param {number} [number]  Of the turn.
 * @returns {void}
 */

/**
 * @returns {State}
 */
export function emptyState() {
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
 * Take in a message. Turns, notices, and lists are replaced, never changed.
 *
 * @param {State} state
 * @param {ChatMessage} message
 * @param {Note} note
 * @returns {boolean}  False if something before it must have been missed.
 */
export function apply(state, message, note) {
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
      endPending(state, message.notice.id, note);
      state.notices = withEntry(state.notices, message.notice);
      note("notices");
      return true;
    case "dismissed":
      state.notices = state.notices.filter(({ id }) => id !== message.id);
      note("notices");
      return true;
    case "status":
      state.status = message.status;
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
 * Put what a snapshot says in the place of all there was.
 *
 * @param {State} state
 * @param {ChatMessageOf<"snapshot">} snapshot
 * @param {readonly Pending[]} unsent  Requests that the kernel did not know of yet.
 * @param {Note} note
 */
export function applySnapshot(state, snapshot, unsent, note) {
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
  for (const topic of /** @type {const} */ (["connection", "path", "status", "notices", "pending"]))
    note(topic);
}

/**
 * Return what was asked of another kernel, or on a line that is no more, and never answered: what a
 * snapshot of the kernel that is there now knows nothing of.
 *
 * @param {State} state
 * @param {ChatMessageOf<"snapshot">} snapshot
 * @param {readonly Pending[]} unsent  Requests that this kernel did not know of yet.
 * @returns {Returned[]}
 */
export function lostBy({ pending, turns, begun }, snapshot, unsent) {
  const told = [...unsent, ...snapshot.pending, ...snapshot.notices];
  const known = new Set([...told.map(({ id }) => id), ...begun.values()]);
  const others = snapshot.turns.filter(({ number }) => !turns.has(number));
  const isThere = (/** @type {Turn} */ { number, prompt }) =>
    snapshot.turns.some((turn) => turn.number === number && turn.prompt === prompt);
  return [
    ...[...turns.values()]
      .filter((turn) => turn.state !== "finished" && !isThere(turn))
      .map(({ number, prompt }) => ({ id: begun.get(number) ?? `turn ${number}`, text: prompt })),
    ...pending.filter(({ id, text }) => !known.has(id) && !others.some((t) => t.prompt === text)),
  ];
}

/**
 * @param {State} state
 * @param {Pending} pending
 * @param {Note} note
 */
export function setPending(state, pending, note) {
  state.pending = withEntry(state.pending, pending);
  note("pending");
}

/**
 * @param {State} state
 * @param {string} id
 * @param {Note} note
 */
function endPending(state, id, note) {
  const left = state.pending.filter((pending) => pending.id !== id);
  if (left.length === state.pending.length) return;
  state.pending = left;
  note("pending");
}

/**
 * Take in that a request came to nothing: what was typed is not to be lost.
 *
 * @param {State} state
 * @param {Returned} returned
 * @param {Note} note
 */
export function giveBack(state, { id, text }, note) {
  endPending(state, id, note);
  state.returned = withEntry(state.returned, { id, text }).slice(-MOST_RETURNED);
  note("returned");
}

/**
 * @param {State} state
 * @param {string | null} text
 * @param {Note} note
 */
export function setError(state, text, note) {
  if (text === null && state.error === null) return;
  state.error = text === null ? null : { text };
  note("error");
}

/**
 * @param {State} state
 * @param {readonly number[]} path
 * @param {Note} note
 * @returns {boolean}
 */
function setPath(state, path, note) {
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
 *
 * @param {State} state
 * @param {number} number
 * @param {string} id
 * @param {Note} note
 */
function beginTurn(state, number, id, note) {
  state.begun.set(number, id);
  if (state.path.includes(number)) endPending(state, id, note);
}

/**
 * @param {State} state
 * @param {ChatMessageOf<"progress">} message
 * @param {Note} note
 * @returns {boolean}
 */
function setProgress(state, { id, number, progress }, note) {
  const pending = state.pending.find((entry) => entry.id === id);
  if (pending) setPending(state, { ...pending, progress }, note);
  if (number === null) return true;
  return changeTurn(state, number, note, (turn) => ({ ...turn, progress }));
}

/**
 * @param {State} state
 * @param {Turn} turn
 * @param {Note} note
 */
function setTurn(state, turn, note) {
  state.turns.set(turn.number, turn);
  note("turn", turn.number);
}

/**
 * @param {State} state
 * @param {number} number
 * @param {Note} note
 * @param {(turn: Turn) => Turn} change
 * @returns {boolean}
 */
function changeTurn(state, number, note, change) {
  const turn = state.turns.get(number);
  if (turn) setTurn(state, change(turn), note);
  return turn !== undefined;
}

/**
 * Return the list with an entry, in the place of the one with its id if there is one.
 *
 * @template {{ id: string }} T
 * @param {readonly T[]} entries
 * @param {T} entry
 * @returns {readonly T[]}
 */
function withEntry(entries, entry) {
  const index = entries.findIndex(({ id }) => id === entry.id);
  return index < 0 ? [...entries, entry] : entries.with(index, entry);
}
