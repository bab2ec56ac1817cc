/** The plugin of the status bar, and of loading jupyter_llm in a kernel. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette, Notification } from "@jupyterlab/apputils";
import { INotebookTracker } from "@jupyterlab/notebook";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { IStatusBar } from "@jupyterlab/statusbar";
import { ITranslator, nullTranslator, type TranslationBundle } from "@jupyterlab/translation";
import { offlineBoltIcon } from "@jupyterlab/ui-components";
import type { Connection } from "../connection/connection.js";
import { Connections } from "../connection/connections.js";
import { loadFailure, standing } from "../connection/standing.js";
import { speak } from "../dom/words.js";
import { StatusItem } from "./status_item.js";

const ID = "jupyter-llm:status-bar";
const LOAD = "jupyter-llm:load";
const STATUS = "jupyter-llm:status";
const CHAT = "jupyter-llm:chat";
const EDIT_SETTINGS = "settingeditor:open";
const NO_ARGUMENTS = { args: { type: "object", properties: {} } } as const;

export const statusBarPlugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: "Says what the model in the kernel does, and loads jupyter_llm there.",
  autoStart: true,
  requires: [INotebookTracker, Connections],
  optional: [IStatusBar, ISettingRegistry, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    connections: Connections,
    statusBar: IStatusBar | null,
    settings: ISettingRegistry | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null,
  ) => {
    const trans = (translator ?? nullTranslator).load("jupyter_llm");
    speak(trans);
    const { commands } = app;
    const category = trans.__("Language Model");
    const current = () => (tracker.currentWidget ? connections.of(tracker.currentWidget) : null);
    commands.addCommand(LOAD, {
      label: trans.__("LLM: Load jupyter_llm in the Kernel"),
      caption: trans.__("Run %load_ext jupyter_llm"),
      icon: offlineBoltIcon,
      isEnabled: () => current()?.state === "absent",
      isVisible: () => current()?.state === "absent",
      execute: () => load(current(), trans),
      describedBy: NO_ARGUMENTS,
    });
    palette?.addItem({ command: LOAD, category });
    if (settings) {
      const openChat = () => void commands.execute(CHAT).catch(() => {}); // it may be switched off
      const said = new Set<string>();
      const hintOnce = () => hint(settings, openChat, trans);
      void heed(settings, connections, hintOnce, (one) => load(one, trans, said));
    }
    if (!statusBar) return;
    const item = new StatusItem({
      load: () => void commands.execute(LOAD),
      explain: (connection) => explain(connection, trans),
      openSettings: () => void commands.execute(EDIT_SETTINGS, { query: category }),
    });
    statusBar.registerStatusItem(ID, {
      item,
      align: "left",
      rank: 4,
      isActive: () => item.hasText,
      activeStateChanged: item.shownChanged,
    });
    tracker.currentChanged.connect(() => item.follow(current()));
    item.follow(current());
    commands.addCommand(STATUS, {
      label: trans.__("LLM: Model Status and Choice"),
      isEnabled: () => item.connection?.state === "open",
      execute: () => item.press(),
      describedBy: NO_ARGUMENTS,
    });
    palette?.addItem({ command: STATUS, category });
  },
};

/** Load jupyter_llm in a kernel, and say in one line why that cannot be done, if it is not `said`. */
async function load(
  connection: Connection | null,
  trans: TranslationBundle,
  said = new Set<string>(),
): Promise<void> {
  try {
    await connection?.load();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const text = loadFailure(reason, (line, ...values) => trans.__(line, ...values));
    if (!said.has(text)) Notification.error(text, { autoClose: 15_000 });
    said.add(text);
  }
}

/** What a connection that is not open has to say. */
function explain(connection: Connection | null, trans: TranslationBundle): string {
  const { state = null, version = "", kernelVersion = null } = connection ?? {};
  const versions = { ours: version, theirs: kernelVersion };
  const { text, canLoad } = standing(state, versions, (said, ...v) => trans.__(said, ...v));
  if (canLoad) return trans.__("%1 Click to load it.", text);
  return text || trans.__("The language model in the kernel");
}

/** Say once what nobody would look for; the settings remember that it was said, in any page. */
async function hint(
  settings: ISettingRegistry,
  openChat: () => void,
  trans: TranslationBundle,
): Promise<void> {
  const own = await settings.reload(ID);
  if (own.composite.hint !== true) return;
  // A notification shows 140 characters.
  const text = trans.__(
    "Where you type code, the model goes on in grey, and Tab takes it. A chat about the notebook is in the side bar.",
  );
  const actions = [{ label: trans.__("Open the Chat"), callback: openChat }];
  Notification.info(text, { autoClose: false, actions });
  await own.set("hint", false);
}

/**
 * Do as the settings say: load jupyter_llm wherever a kernel has started without it, and say once,
 * where it is loaded first, what there is.
 */
async function heed(
  settings: ISettingRegistry,
  connections: Connections,
  hint: () => Promise<void>,
  load: (connection: Connection) => Promise<void>,
): Promise<void> {
  let canHint = true;
  const tried = new WeakSet<Connection>();
  const loaded = settings.load(ID).catch(() => null);
  connections.opened.connect(async (_, connection) => {
    const own = await loaded;
    if (own === null) return;
    const look = () => {
      if (connection.state === "open" && canHint && own.composite.hint === true) {
        canHint = false;
        hint().catch(() => {}); // without a server that keeps settings it would come each time
      }
      if (connection.state === "none") tried.delete(connection); // another kernel comes
      if (connection.state !== "absent" || tried.has(connection)) return;
      tried.add(connection);
      if (own.composite.autoLoad === true) void load(connection);
    };
    connection.stateChanged.connect(look);
    look();
  });
}
