/** Names that nobody else on the page has.
 *
 * Every widget's model loads this script anew, so counting would begin anew as well.
 */

const NUM_BYTES = 6;

/**
 * Letters and digits. Pages that are not secure have no `crypto.randomUUID`: a Jupyter server on
 * another machine, without TLS, is one.
 */
export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(NUM_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
