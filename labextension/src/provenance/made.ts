/** What the metadata of a cell or an output say of how its text was made, as far as a badge tells it. */

import { COMPLETED, completedLines, standsIn } from "../dom/pieces.js";

/** Where records stand, in metadata. */
const KEY = "jupyter_llm";

/** One record, unchecked: whoever made the notebook may have written anything there. */
export interface Made {
  model: string;
  quantization: string;
  licence: string;
  /** When, or null if nobody can tell. */
  time: Date | null;
}

/** The records that can be read, in their order; of a cell's `source`, those of what still stands there. */
export function madeBy(metadata: unknown, source: string | null = null): Made[] {
  const found = field(metadata, KEY);
  const made = (Array.isArray(found) ? found : [found]).flatMap((record) => {
    const about = field(record, "model");
    const [model, pieces] = [text(field(about, "name")), text(field(record, "pieces"))];
    if (!model || (source !== null && pieces && !standsIn(pieces.split(" "), source))) return [];
    return {
      model,
      quantization: text(field(about, "quantization")),
      licence: text(field(about, "license")),
      time: timeOf(text(field(record, "time"))),
    };
  });
  const completed = source === null ? {} : completedLines(field(metadata, COMPLETED));
  for (const [model, line] of Object.entries(completed)) {
    const [day = "", ...pieces] = line.split(" ");
    if (!standsIn(pieces, source ?? "")) continue;
    made.push({ model, quantization: "", licence: "", time: timeOf(day) });
  }
  return made;
}

function timeOf(said: string): Date | null {
  const time = new Date(said);
  return Number.isNaN(time.getTime()) ? null : time;
}

/** The models that wrote, and the last day they did: what stands on a badge. */
export function labelOf(made: readonly Made[], locale?: string): string {
  const models = [...new Set(made.map(({ model }) => model))].join(", ");
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
  return typeof value === "string" ? value : "";
}
