/** What is said of the model where it is named, in words. */

import type { ConnectionState } from "../connection/connection.js";
import type { Activity, Pull } from "../connection/messages.js";
import { trans } from "../dom/words.js";

/** What is behind a name that only says how a model was made fit for use. */
const TAIL = /[-._](?:instruct|chat|it|gguf|i?q\d\w*|b?f16|f32)(?:[-._].*)?$/i;

/** The name of a model as far as it tells it from others. */
export function shortName(name: string): string {
  return name.replace(TAIL, "") || name;
}

/** A size with two or three digits: "145 MB", "0.9 GB". */
export function size(bytes: number): string {
  return bytes < 5e8 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

/** What the model does, in a word or two. */
export function stateWords({ state, share }: Pick<Activity, "state" | "share">): string {
  switch (state) {
    case "none":
      return trans.__("not loaded");
    case "loading":
      return trans.__("loading %1 %", percent(share ?? 0));
    case "idle":
      return trans.__("idle");
    case "reading":
      return trans.__("reading");
    case "writing":
      return trans.__("writing");
  }
}

/** How full the model's memory of what it has read is, or "" where that is not known. */
export function fill({ kv_used, kv_room }: Activity): string {
  return kv_room > 0 ? percent(kv_used / kv_room) : "";
}

/** The line where the model is named; with "" there is nothing to say. */
export function line(
  state: ConnectionState | null,
  status: Activity | null,
  pull: Pull | null,
): string {
  if (state === "absent") return trans.__("LLM: not loaded");
  if (state === "differs") return trans.__("LLM: versions differ");
  if (state !== "open") return "";
  if (!status) return trans.__("LLM");
  const isPulling = pull?.state === "running";
  const pulling = isPulling ? [trans.__("pulling %1 %", percent(pull.share ?? 0))] : [];
  if (!status.model) return [trans.__("LLM: no model loaded"), ...pulling].join(" · ");
  const share = fill(status);
  return [
    shortName(status.model),
    stateWords(status),
    ...(share ? [trans.__("KV %1 %", share)] : []),
    ...(status.beside.length ? [trans.__("%1 more", status.beside.length)] : []),
    ...(status.process_bytes ? [size(status.process_bytes)] : []),
    ...pulling,
  ].join(" · ");
}

function percent(share: number): string {
  return String(Math.round(100 * share));
}
