/** Names of new chats, and of the files that chats are saved in. */

/** A name for a new chat that none of these has. */
export function freeChatName(names: readonly string[]): string {
  return firstFree((number) => `chat ${number}`, names, 2);
}

/** A file's name for a chat beside its notebook that no other file has. */
export function exportName(notebook: string, chat: string, files: readonly string[]): string {
  const stem = notebook.replace(/^.*\//, "").replace(/\.ipynb$/, "");
  const words = chat.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "") || "chat";
  const name = (number: number) => `${stem}-${words}${number > 1 ? `-${number}` : ""}.md`;
  return firstFree(name, files, 1);
}

function firstFree(
  name: (number: number) => string,
  taken: readonly string[],
  from: number,
): string {
  // Many disks take names for the same that differ in capitals, or in how accents are written.
  const plain = (text: string) => text.normalize().toLowerCase();
  const all = new Set(taken.map(plain));
  let number = from;
  while (all.has(plain(name(number)))) number += 1;
  return name(number);
}
