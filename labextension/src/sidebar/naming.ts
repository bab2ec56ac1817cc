/** Names of new chats, and of the files that chats are saved in. */

/** A name for a new chat that none of these has. */
export function freeChatName(names: readonly string[]): string {
  return firstFree((number) => `chat ${number}`, new Set(names), 2);
}

/** A file's name for a chat beside its notebook that no other file has. */
export function exportName(notebook: string, chat: string, files: readonly string[]): string {
  const stem = notebook.replace(/^.*\//, "").replace(/\.ipynb$/, "");
  const words = chat.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "") || "chat";
  const name = (number: number) => `${stem}-${words}${number > 1 ? `-${number}` : ""}.md`;
  return firstFree(name, new Set(files), 1);
}

function firstFree(
  name: (number: number) => string,
  taken: ReadonlySet<string>,
  from: number,
): string {
  let number = from;
  while (taken.has(name(number))) number += 1;
  return name(number);
}
