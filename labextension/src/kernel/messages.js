/** What the panel and its kernel side say to each other; messages.py tells what each message means. */

/** @typedef {"command" | "variable" | "cell"} SuggestionKind */
/** @typedef {{ label: string, text: string }} Attachment */
/** @typedef {{ text: string, share: number | null }} Progress */
/** @typedef {{ id: string, text: string, progress: Progress | null }} Pending */

/**
 * @typedef {object} Usage
 * @property {number} prompt_tokens
 * @property {number} cached_tokens
 * @property {number} completion_tokens
 * @property {number} reasoning_tokens
 * @property {number} first_token_s
 * @property {number} tokens_per_s
 */

/**
 * @typedef {object} TurnData
 * @property {number} number
 * @property {number} parent
 * @property {number[]} siblings
 * @property {string} prompt
 * @property {string[]} attachments
 * @property {string} text
 * @property {string} reasoning  What was thought before the text.
 * @property {"waiting" | "reading" | "writing" | "finished"} state
 * @property {string | null} finish_reason
 * @property {string | null} model
 * @property {number | null} seed
 * @property {number | null} temperature
 * @property {boolean} exact
 * @property {Usage | null} usage
 * @property {{ cells: number, variables: string[] }} told
 */

/**
 * @typedef {object} Status
 * @property {string | null} model
 * @property {boolean} is_loaded
 * @property {number | null} n_ctx
 * @property {number | null} allowed
 * @property {number | null} used
 * @property {{ system: number, cells: number, turns: number, variables: number }} parts
 * @property {number | null} tokens_per_s
 * @property {number | null} cached_share
 * @property {number} num_cells
 * @property {boolean} is_if_asked
 */

/**
 * @typedef {object} Proposal
 * @property {string} source
 * @property {string | null} cell_id
 * @property {number | null} execution_count
 * @property {string | null} before
 * @property {string[]} unknown_names
 */

/** @typedef {{ label: string, text: string }} Choice  A command that is offered. */

/**
 * @typedef {object} Notice
 * @property {string} id
 * @property {number} after
 * @property {string} prompt
 * @property {string} markdown
 * @property {"info" | "error"} level
 * @property {boolean} is_finished
 * @property {Proposal | null} proposal
 * @property {Choice[]} choices
 */

/**
 * @typedef {object} Suggestion
 * @property {string} text
 * @property {string} label
 * @property {SuggestionKind} kind
 * @property {string} name
 * @property {string} detail
 */

/** @typedef {{ data: Record<string, string>, metadata: Record<string, unknown> }} Transcript */

/**
 * What the front end asks for; the id is added where it is sent.
 *
 * @typedef {{ type: "hello", view: string, protocol: number, can_write_cells: boolean }
 *   | { type: "bye" }
 *   | { type: "send", text: string, after: number | null, attachments: readonly Attachment[],
 *       seed: number | null, temperature: number | null, is_alone: boolean }
 *   | { type: "draft", text: string, after: number | null, attachments: readonly Attachment[],
 *       is_alone: boolean }
 *   | { type: "regenerate", number: number, seed: number | null, temperature: number | null }
 *   | { type: "stop", target: number | string | null }
 *   | { type: "choose", number: number }
 *   | { type: "remove", number: number }
 *   | { type: "dismiss", notice: string }
 *   | { type: "complete", text: string, cursor: number }
 *   | { type: "describe", kind: SuggestionKind, name: string }
 *   | { type: "check", sources: string[] }
 *   | { type: "prepare", number: number | null, notice: string | null, source: string }
 *   | { type: "land", number: number | null, notice: string | null, source: string,
 *       in_place: boolean }} Request
 */

/** @typedef {{ type: "ack", seq: number, id: string }} AckMessage */
/** @typedef {{ type: "error", seq: number, id: string | null, text: string }} ErrorMessage */
/** @typedef {{ type: "anybody", seq: number }} AnybodyMessage */
/** @typedef {{ type: "turn", seq: number, turn: TurnData, id: string | null }} TurnMessage */
/** @typedef {{ type: "path", seq: number, path: number[] }} PathMessage */
/**
 * @typedef {{ type: "delta", seq: number, number: number, text: string, reasoning: string }}
 *   DeltaMessage
 */
/** @typedef {{ type: "pending", seq: number, pending: Pending }} PendingMessage */
/** @typedef {{ type: "cancelled", seq: number, id: string, text: string }} CancelledMessage */
/** @typedef {{ type: "status", seq: number, status: Status }} StatusMessage */
/** @typedef {{ type: "notice", seq: number, notice: Notice }} NoticeMessage */
/** @typedef {{ type: "dismissed", seq: number, id: string }} DismissedMessage */
/** @typedef {{ type: "transcript", seq: number } & Transcript} TranscriptMessage */
/** @typedef {{ type: "description", seq: number, id: string, text: string }} DescriptionMessage */
/** @typedef {{ type: "landed", seq: number, id: string, text: string }} LandedMessage */

/**
 * @typedef {{ type: "progress", seq: number, id: string | null, number: number | null }
 *   & Progress} ProgressMessage
 */

/**
 * @typedef {object} SnapshotMessage
 * @property {"snapshot"} type
 * @property {number} seq
 * @property {string | null} id
 * @property {string | null} view
 * @property {number} protocol
 * @property {string} kernel
 * @property {string | null} chat
 * @property {TurnData[]} turns
 * @property {number[]} path
 * @property {Status} status
 * @property {Notice[]} notices
 * @property {Pending[]} pending
 */

/**
 * @typedef {object} SuggestionsMessage
 * @property {"suggestions"} type
 * @property {number} seq
 * @property {string} id
 * @property {number} start
 * @property {number} end
 * @property {Suggestion[]} items
 */

/** @typedef {{ source: string, unknown_names: string[], missing_modules: string[] }} Checked */

/** @typedef {{ type: "checked", seq: number, id: string, results: Checked[] }} CheckedMessage */

/**
 * @typedef {object} PreparedMessage
 * @property {"prepared"} type
 * @property {number} seq
 * @property {string} id
 * @property {string} source
 * @property {Record<string, unknown>} metadata
 */

/**
 * @typedef {AckMessage | AnybodyMessage | ErrorMessage | SnapshotMessage | TurnMessage | PathMessage | DeltaMessage
 *   | ProgressMessage | PendingMessage | CancelledMessage | StatusMessage | NoticeMessage
 *   | DismissedMessage | TranscriptMessage | SuggestionsMessage | DescriptionMessage
 *   | CheckedMessage | PreparedMessage | LandedMessage} Message
 */

export const PROTOCOL = 1;
