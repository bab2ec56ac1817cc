/** The facts in the metadata of a cell or an output that a badge shows of how its text was made. */

import { withVisibleControls } from "../dom/characters.js";
import { COMPLETED, RECORDS, remaining, written } from "../dom/pieces.js";
import { listed } from "../dom/words.js";

/** One record, unchecked: whoever made the notebook may have written anything there. */
export interface Made {
  model: string;
  quantization: string;
  licence: string;
  /** The host to which the prompt was sent, or empty if the prompt did not leave the machine. */
  host: string;
  /** When, or null if nobody can tell. */
  time: Date | null;
}

/** The records that can be read, in their order; of a cell's `source`, those of what still stands there. */
export function madeBy(metadata: unknown, source: string | null = null): Made[] {
  const found = field(metadata, RECORDS);
  const all = [...written(found), ...written(field(metadata, COMPLETED))];
  return (source === null ? written(found, Infinity) : remaining(all, source)).flatMap((record) => {
    const about = field(record, "model");
    const model = text(field(about, "name")) || text(about);
    if (!model) return [];
    const time = new Date(text(field(record, "time")));
    return {
      model,
      quantization: text(field(about, "quantization")),
      licence: text(field(about, "license")),
      host: text(field(about, "host")),
      time: Number.isNaN(time.getTime()) ? null : time,
    };
  });
}

/** The models that wrote, and the last day they did: what stands on a badge. */
export function labelOf(made: readonly Made[], locale?: string): string {
  const models = listed(new Set(made.map(({ model }) => model)));
  const times = made.flatMap(({ time }) => (time ? [time.getTime()] : []));
  if (times.length === 0) return models;
  const day = new Intl.DateTimeFormat(locale, { dateStyle: "medium" }).format(Math.max(...times));
  return `${models} · ${day}`;
}

/** An output's plain text, which may be in lines; null if it has none. */
export function plainText(data: unknown): string | null {
  const plain = field(data, "text/plain");
  if (Array.isArray(plain)) return plain.join("");
  return typeof plain === "string" ? plain : null;
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function text(value: unknown): string {
  return typeof value === "string" ? withVisibleControls(value) : "";
}
