/** The words beside a model's name. */

import type { Activity } from "../connection/messages.js";
import { inWords, trans } from "../dom/words.js";

/** The end of a name that says only how a model was prepared; `@HOST` may follow. */
const TAIL = /(?<=^[^@]*)[-._](?:instruct|chat|it|gguf|i?q\d\w*|b?f16|f32)(?:[-._][^@]*)?(?=@|$)/i;

/** The name of a model as far as it tells it from others. */
export function shortName(name: string): string {
  return name.replace(TAIL, "") || name;
}

/** A size with two or three digits: "145 MB", "0.9 GB". */
export function size(bytes: number): string {
  return bytes < 5e8
    ? trans.__("%1 MB", number(bytes / 1e6))
    : trans.__("%1 GB", number(bytes / 1e9, 1));
}

/** A number as the page's language writes it. */
export function number(value: number, digits = 0): string {
  return inWords(value, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Return the model's state in a word or two. */
export function stateWords({ state, share }: Pick<Activity, "state" | "share">): string {
  switch (state) {
    case "none":
      return trans.__("not loaded");
    case "loading":
      return trans.__("loading %1 %", number(100 * (share ?? 0)));
    case "idle":
      return trans.__("idle");
    case "reading":
      return trans.__("reading");
    case "writing":
      return trans.__("writing");
  }
}

/** The line where the model is named: facts, one beside the other. */
export function line(status: Activity): string {
  const { kv_used: used, kv_room: room, beside, process_bytes: bytes, pull } = status;
  const facts = status.model
    ? [
        shortName(status.model),
        stateWords(status),
        room > 0 && trans.__("KV %1 %", number((100 * used) / room)),
        beside.length > 0 && trans.__("%1 more", number(beside.length)),
        bytes && size(bytes),
      ]
    : [trans.__("LLM: no model loaded")];
  const share = number(100 * (pull?.share ?? 0));
  if (pull?.state === "running") facts.push(trans.__("pulling %1 %", share));
  return facts.filter(Boolean).join(" · ");
}
