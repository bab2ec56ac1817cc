/** The plugin of the status bar, and of loading jupyter_llm in a kernel. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette, Notification } from "@jupyterlab/apputils";
import { INotebookTracker } from "@jupyterlab/notebook";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { IStatusBar } from "@jupyterlab/statusbar";
import { offlineBoltIcon } from "@jupyterlab/ui-components";
import type { Connection } from "../connection/connection.js";
import { Connections } from "../connection/connections.js";
import { CHAT } from "../connection/public.js";
import { loadFailure } from "../connection/standing.js";
import { trans } from "../dom/words.js";
import { StatusItem } from "./status_item.js";

const ID = "jupyter-llm:status-bar";
const LOAD = "jupyter-llm:load";
const STATUS = "jupyter-llm:status";
const EDIT_SETTINGS = "settingeditor:open";
const NO_ARGUMENTS = { args: { type: "object", properties: {} } } as const;

export const statusBarPlugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: "Says what the model in the kernel does, and loads jupyter_llm there.",
  autoStart: true,
  requires: [INotebookTracker, Connections],
  optional: [IStatusBar, ISettingRegistry, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    connections: Connections,
    statusBar: IStatusBar | null,
    settings: ISettingRegistry | null,
    palette: ICommandPalette | null,
  ) => {
    const { commands } = app;
    const category = trans.__("Language Model");
    const current = () => (tracker.currentWidget ? connections.of(tracker.currentWidget) : null);
    const isAbsent = () => current()?.state === "absent";
    commands.addCommand(LOAD, {
      label: trans.__("LLM: Load jupyter_llm in the Kernel"),
      caption: trans.__("Run %load_ext jupyter_llm"),
      icon: offlineBoltIcon,
      isEnabled: isAbsent,
      isVisible: isAbsent,
      execute: () => load(current()),
      describedBy: NO_ARGUMENTS,
    });
    palette?.addItem({ command: LOAD, category });
    if (settings) {
      const openChat = () => void commands.execute(CHAT).catch(() => {}); // it may be switched off
      heed(settings, connections, openChat);
    }
    if (!statusBar) return;
    const item = new StatusItem(
      () => void commands.execute(LOAD),
      () => void commands.execute(EDIT_SETTINGS, { query: category }),
    );
    statusBar.registerStatusItem(ID, { item, align: "left", rank: 4 });
    tracker.currentChanged.connect(() => item.follow(current()));
    item.follow(current());
    commands.addCommand(STATUS, {
      label: trans.__("LLM: Model Status and Choice"),
      isEnabled: () => item.isVisible && item.connection?.state === "open",
      execute: () => item.press(),
      describedBy: NO_ARGUMENTS,
    });
    palette?.addItem({ command: STATUS, category });
  },
};

/** Load jupyter_llm in a kernel because somebody wants to, or show one line that says why not. */
async function load(connection: Connection | null): Promise<void> {
  try {
    await connection?.load();
  } catch (error) {
    Notification.error(loadFailure((error as Error).message), { autoClose: 15_000 });
  }
}

/** Say once what nobody would look for; the settings remember that it was said, in any page. */
async function hint(settings: ISettingRegistry, openChat: () => void): Promise<void> {
  const own = await settings.reload(ID);
  if (own.composite.hint !== true) return;
  // A notification shows 140 characters.
  const text = trans.__(
    "The first prompt loads the model. Then it suggests code in grey where you type, and Tab accepts it. A chat is in the side bar.",
  );
  const actions = [{ label: trans.__("Open the Chat"), callback: openChat }];
  Notification.info(text, { autoClose: false, actions });
  await own.set("hint", false);
}

/**
 * Do as the settings say: load jupyter_llm wherever a kernel has started without it, and say once,
 * where it is loaded first, what there is.
 */
function heed(settings: ISettingRegistry, connections: Connections, openChat: () => void): void {
  let canHint = true;
  const tried = new WeakSet<Connection>();
  const loaded = settings.load(ID).catch(() => null);
  connections.opened.connect(async (_, connection) => {
    const own = await loaded;
    const look = () => {
      if (connection.state === "open" && canHint && own?.composite.hint === true) {
        canHint = false;
        hint(settings, openChat).catch(() => {}); // without a server that keeps settings it would come each time
      }
      if (connection.state === "none") tried.delete(connection); // another kernel comes
      if (connection.state !== "absent" || tried.has(connection)) return;
      tried.add(connection);
      // Where that fails nobody is disturbed: the status bar offers to load it, and says why not.
      if (own?.composite.autoLoad === true) void connection.load().catch(() => {});
    };
    connection.stateChanged.connect(look);
    look();
  });
}
