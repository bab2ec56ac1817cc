/** The commands on the chats of a notebook. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import { Dialog, InputDialog, showDialog } from "@jupyterlab/apputils";
import { PathExt } from "@jupyterlab/coreutils";
import { trans } from "../dom/words.js";
import type { NotebookChats } from "./notebook_chats.js";
import { IDS, type SideBar } from "./side_bar.js";

/** Add those about the chat that is shown. */
export function addChatCommands(app: JupyterFrontEnd, sideBar: SideBar): void {
  const { commands } = app;
  const { contents } = app.serviceManager;
  const add = (id: string, label: string, work: (chats: NotebookChats) => Promise<void>) => {
    commands.addCommand(id, {
      label,
      isEnabled: () => sideBar.isVisible && sideBar.chats !== null,
      execute: async () => {
        const { chats } = sideBar;
        if (!chats) return;
        sideBar.report(chats.panel, ""); // what was said before is over
        await work(chats).catch((error: Error) => sideBar.report(chats.panel, error.message));
      },
      describedBy: { args: { type: "object", properties: {} } },
    });
  };
  add(IDS.begin, trans.__("LLM: New Chat"), async (chats) => {
    await chats.begin();
    sideBar.activate();
  });
  add(IDS.rename, trans.__("LLM: Rename Chat…"), rename);
  add(IDS.export, trans.__("LLM: Export Chat"), async (chats) => {
    const path = await chats.save(contents);
    sideBar.report(chats.panel, trans.__("Saved as %1.", PathExt.basename(path)), {
      label: trans.__("Open"),
      run: () => void commands.execute("docmanager:open", { path }),
    });
  });
  add(IDS.delete, trans.__("LLM: Delete Chat…"), remove);
}

async function rename(chats: NotebookChats): Promise<void> {
  const { value } = await InputDialog.getText({
    title: trans.__("Rename Chat"),
    label: trans.__("Name"),
    text: chats.current,
    okLabel: trans.__("Rename"),
  });
  if (value !== null && value !== chats.current) await chats.rename(value);
}

async function remove(chats: NotebookChats): Promise<void> {
  const { button } = await showDialog({
    title: trans.__("Delete Chat"),
    body: trans.__('Delete "%1" for good, with all its turns?', chats.current),
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__("Delete") })],
  });
  if (button.accept) await chats.delete();
}
