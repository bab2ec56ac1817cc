/** The plugin of the side bar. */

import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin,
} from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { INotebookTracker } from "@jupyterlab/notebook";
import { IStateDB } from "@jupyterlab/statedb";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { LabIcon } from "@jupyterlab/ui-components";
import { Menu } from "@lumino/widgets";
import { Connections } from "../connection/connections.js";
import { addChatCommands, CHAT_COMMANDS, IDS } from "./commands.js";
import { moveChosen } from "./notebook_chats.js";
import { SideBar } from "./side_bar.js";

const ICON = new LabIcon({
  name: "jupyter-llm:chat",
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">' +
    '<path class="jp-icon3 jp-icon-selectable" fill="#616161" d="M4 3h16a2 2 0 0 1 2 2v10a2 2 0 0 1-2 ' +
    '2h-8l-5 4v-4H4a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2zm2 4v2h12V7zm0 4v2h8v-2z"/></svg>',
});

export const sideBarPlugin: JupyterFrontEndPlugin<void> = {
  id: "jupyter-llm:side-bar",
  description: "Shows the chat of the notebook in front beside it.",
  autoStart: true,
  requires: [INotebookTracker, Connections],
  optional: [ICommandPalette, ILayoutRestorer, IStateDB, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    connections: Connections,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    memory: IStateDB | null,
    translator: ITranslator | null,
  ) => {
    const trans = (translator ?? nullTranslator).load("jupyter_llm");
    const { commands, shell } = app;
    const menu = new Menu({ commands });
    for (const command of CHAT_COMMANDS) menu.addItem({ command });
    const sideBar = new SideBar(connections, memory, trans, {
      begin: () => void commands.execute(IDS.begin),
      openMenu: (button) => {
        const { left, bottom } = button.getBoundingClientRect();
        menu.open(left, bottom);
      },
      leave: () => {
        const { panel } = sideBar;
        if (!panel) return;
        shell.activateById(panel.id);
        panel.content.activate();
      },
    });
    sideBar.id = "jupyter-llm-side-bar";
    sideBar.title.icon = ICON;
    sideBar.title.caption = trans.__("Chat");
    shell.add(sideBar, "right", { rank: 800, type: "Chat" });
    restorer?.add(sideBar, sideBar.id);
    tracker.currentChanged.connect((_, panel) => sideBar.follow(panel));
    sideBar.follow(tracker.currentWidget);
    app.serviceManager.contents.fileChanged.connect((_, { type, oldValue, newValue }) => {
      if (type !== "rename" || !oldValue?.path || !newValue?.path) return;
      void (memory && moveChosen(memory, oldValue.path, newValue.path));
    });
    commands.addCommand(IDS.chat, {
      label: trans.__("LLM: Chat about the Notebook"),
      icon: ICON,
      execute: ({ label, text }) => {
        shell.activateById(sideBar.id);
        if (typeof text === "string") sideBar.attach({ label: String(label), text });
      },
      describedBy: {
        args: {
          type: "object",
          properties: { label: { type: "string" }, text: { type: "string" } },
        },
      },
    });
    addChatCommands(commands, sideBar, app.serviceManager.contents, trans);
    const category = trans.__("Language Model");
    for (const command of Object.values(IDS)) palette?.addItem({ command, category });
  },
};
