/** What can be done with the chats of a notebook, as commands. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import { Dialog, InputDialog, showDialog } from "@jupyterlab/apputils";
import { PathExt } from "@jupyterlab/coreutils";
import type { Contents } from "@jupyterlab/services";
import type { TranslationBundle } from "@jupyterlab/translation";
import { exportName } from "./naming.js";
import type { NotebookChats } from "./notebook_chats.js";
import type { SideBar } from "./side_bar.js";

export const IDS = {
  chat: "jupyter-llm:chat",
  begin: "jupyter-llm:new-chat",
  rename: "jupyter-llm:rename-chat",
  export: "jupyter-llm:export-chat",
  delete: "jupyter-llm:delete-chat",
} as const;

/** The commands about the chat that is shown, in the order of the menu. */
export const CHAT_COMMANDS = [IDS.begin, IDS.rename, IDS.export, IDS.delete];

export function addChatCommands(
  commands: JupyterFrontEnd["commands"],
  sideBar: SideBar,
  contents: Contents.IManager,
  trans: TranslationBundle,
): void {
  const add = (id: string, label: string, work: (chats: NotebookChats) => Promise<void>) => {
    commands.addCommand(id, {
      label: `LLM: ${label}`,
      isEnabled: () => sideBar.isVisible && sideBar.chats !== null,
      execute: async () => {
        const { chats } = sideBar;
        if (!chats) return;
        sideBar.say(""); // what was said before is over
        try {
          await work(chats);
        } catch (error) {
          sideBar.say(error instanceof Error ? error.message : String(error));
        }
      },
      describedBy: { args: { type: "object", properties: {} } },
    });
  };
  add(IDS.begin, trans.__("New Chat"), async (chats) => {
    await chats.begin();
    sideBar.activate();
  });
  add(IDS.rename, trans.__("Rename Chat…"), (chats) => rename(chats, trans));
  add(IDS.export, trans.__("Export Chat"), async (chats) => {
    const path = await save(chats, contents);
    sideBar.say(trans.__("Saved as %1.", PathExt.basename(path)), {
      label: trans.__("Open"),
      run: () => void commands.execute("docmanager:open", { path }),
    });
  });
  add(IDS.delete, trans.__("Delete Chat…"), (chats) => remove(chats, trans));
}

async function rename(chats: NotebookChats, trans: TranslationBundle): Promise<void> {
  const { value } = await InputDialog.getText({
    title: trans.__("Rename Chat"),
    label: trans.__("Name"),
    text: chats.current,
    okLabel: trans.__("Rename"),
  });
  if (value !== null && value !== chats.current) await chats.rename(value);
}

async function remove(chats: NotebookChats, trans: TranslationBundle): Promise<void> {
  const { button } = await showDialog({
    title: trans.__("Delete Chat"),
    body: trans.__('Delete "%1" for good, with all its turns?', chats.current),
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__("Delete") })],
  });
  if (button.accept) await chats.delete();
}

/** Save the chat that is shown beside its notebook; no file is overwritten. */
async function save(chats: NotebookChats, contents: Contents.IManager): Promise<string> {
  const { path } = chats.panel.context;
  const content = await chats.export();
  const folder = PathExt.dirname(path);
  const listed: Contents.IModel = await contents.get(folder);
  const files = (listed.content as { name: string }[]).map(({ name }) => name);
  const target = PathExt.join(folder, exportName(path, chats.current, files));
  await contents.save(target, { type: "file", format: "text", content });
  return target;
}
