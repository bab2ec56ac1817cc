/** The commands that do something with a cell, and where they are found. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette, IToolbarWidgetRegistry } from "@jupyterlab/apputils";
import type { Cell } from "@jupyterlab/cells";
import { IEditorLanguageRegistry } from "@jupyterlab/codemirror";
import { INotebookTracker, type NotebookPanel } from "@jupyterlab/notebook";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { ITranslator, nullTranslator, type TranslationBundle } from "@jupyterlab/translation";
import {
  bugIcon,
  checkIcon,
  closeIcon,
  codeCheckIcon,
  editIcon,
  fastForwardIcon,
  infoIcon,
  type LabIcon,
  MenuSvg,
  offlineBoltIcon,
  searchIcon,
  ToolbarButton,
  textEditorIcon,
} from "@jupyterlab/ui-components";
import { Connections } from "../connection/connections.js";
import type { Action } from "../connection/messages.js";
import { keepCommandKeysOut } from "../dom/shortcuts.js";
import { markSwitchedOff } from "../dom/switches.js";
import { isOff } from "../page/off_cells.js";
import { CellActions, isEditable, type Tools } from "./cell_actions.js";
import { addFixButtons } from "./fix_buttons.js";

const PREFIX = "jupyter-llm:";

interface Look {
  label: string;
  caption: string;
  icon: LabIcon;
}

interface Command extends Look {
  isEnabled: () => boolean;
  isVisible: () => boolean;
  execute: () => void | Promise<void>;
}

/** The notebook and cell that a person is at, if jupyter_llm may be asked about it. */
interface Place {
  panel: NotebookPanel;
  cell: Cell;
  actions: CellActions;
}

/** These change nothing, so that they are there for cells that are read-only, too. */
const ONLY_READS = new Set<Action>(["explain", "review"]);
/** These make sense for cells of Markdown. */
const OF_TEXT = new Set<Action>(["edit", "review", "continue"]);
/** These make sense in a cell where nothing stands yet. */
const FROM_NOTHING = new Set<Action>(["edit"]);

export const cellActions: JupyterFrontEndPlugin<void> = {
  id: "jupyter-llm:actions",
  description: "Has the model explain, fix, write and review cells.",
  autoStart: true,
  requires: [INotebookTracker, Connections, IEditorLanguageRegistry],
  optional: [ITranslator, ICommandPalette, IToolbarWidgetRegistry, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    connections: Connections,
    languages: IEditorLanguageRegistry,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    toolbars: IToolbarWidgetRegistry | null,
    settings: ISettingRegistry | null,
  ) => {
    void markSwitchedOff(settings, cellActions.id, "fixButtons", "cellButton");
    const { commands } = app;
    const trans = (translator ?? nullTranslator).load("jupyter_llm");
    const tools = makeTools(languages, (attachment) => {
      void commands.execute("jupyter-llm:chat", { ...attachment });
    });
    keepCommandKeysOut();
    const here = new Whereabouts(tracker, connections);
    connections.added.connect((_, { panel, connection }) => {
      const actions = new CellActions(panel, connection, tools);
      here.all.set(panel, actions);
      addFixButtons(panel, trans, (cell) => actions.begin("fix", cell));
    });
    const add = (name: string, command: Command) => {
      const describedBy = { args: { type: "object", properties: {} } };
      const label = `LLM: ${command.label}`; // the palette does not show the category
      commands.addCommand(PREFIX + name, { ...command, label, describedBy });
      palette?.addItem({ command: PREFIX + name, category: trans.__("Language Model") });
    };
    const menu = new MenuSvg({ commands });
    menu.title.label = trans.__("Language Model");
    for (const [action, look] of Object.entries(looks(trans)) as [Action, Look][]) {
      add(action, actionCommand(action, look, here));
      menu.addItem({ command: PREFIX + action });
    }
    add("accept", acceptCommand(here, trans));
    add("reject", rejectCommand(here, trans));
    toolbars?.addFactory<Cell>("Cell", "jupyter-llm", () => cellButton(menu, trans));
  },
};

/** Where a person is, and what can be done there. */
class Whereabouts {
  readonly all = new WeakMap<NotebookPanel, CellActions>();
  readonly #tracker: INotebookTracker;
  readonly #connections: Connections;

  constructor(tracker: INotebookTracker, connections: Connections) {
    this.#tracker = tracker;
    this.#connections = connections;
  }

  get isOpen(): boolean {
    const panel = this.#tracker.currentWidget;
    return panel !== null && this.#connections.of(panel).state === "open";
  }

  /** What is shown of an action on the cell there. */
  get view() {
    const at = this.#place;
    return at?.actions.of(at.cell) ?? null;
  }

  canDo(action: Action): boolean {
    const at = this.#place;
    if (!at || !this.isOpen) return false;
    const { type } = at.cell.model;
    if (type !== "code" && !(type === "markdown" && OF_TEXT.has(action))) return false;
    if (isOff(at.cell.model.sharedModel)) return false;
    const isEmpty = at.cell.model.sharedModel.getSource().trim() === "";
    if (isEmpty && !FROM_NOTHING.has(action)) return false;
    return ONLY_READS.has(action) || isEditable(at.panel, at.cell);
  }

  begin(action: Action): void {
    const at = this.canDo(action) ? this.#place : null;
    at?.actions.begin(action, at.cell);
  }

  get #place(): Place | null {
    const panel = this.#tracker.currentWidget;
    const cell = panel?.content.activeCell;
    const actions = panel && this.all.get(panel);
    return panel && cell && actions ? { panel, cell, actions } : null;
  }
}

function makeTools(languages: IEditorLanguageRegistry, chat: Tools["chat"]): Tools {
  return {
    chat,
    highlight: (code, mimeType, element) =>
      languages.highlight(code, languages.findBest(mimeType), element),
    instructions: [],
  };
}

function actionCommand(action: Action, look: Look, here: Whereabouts): Command {
  return {
    ...look,
    isEnabled: () => here.canDo(action),
    isVisible: () => here.isOpen,
    execute: () => here.begin(action),
  };
}

function acceptCommand(here: Whereabouts, trans: TranslationBundle): Command {
  return {
    label: trans.__("Accept Proposal"),
    caption: trans.__("Put the proposed code into the cell"),
    icon: checkIcon,
    isEnabled: () => here.view?.isAcceptable ?? false,
    isVisible: () => here.isOpen || here.view !== null,
    execute: () => {
      if (here.view?.isAcceptable) here.view.accept();
    },
  };
}

function rejectCommand(here: Whereabouts, trans: TranslationBundle): Command {
  return {
    label: trans.__("Reject Proposal"),
    caption: trans.__("Stop what is done with the cell, and drop what came of it"),
    icon: closeIcon,
    isEnabled: () => here.view !== null,
    isVisible: () => here.isOpen || here.view !== null,
    execute: () => here.view?.end(),
  };
}

function cellButton(menu: MenuSvg, trans: TranslationBundle): ToolbarButton {
  const button = new ToolbarButton({
    icon: offlineBoltIcon,
    tooltip: trans.__("Ask the language model about this cell"),
    onClick: () => {
      const { left, bottom } = button.node.getBoundingClientRect();
      menu.open(left, bottom);
    },
  });
  button.addClass("jllm-cell-button");
  return button;
}

function looks(trans: TranslationBundle): Record<Action, Look> {
  return {
    explain: {
      label: trans.__("Explain Cell"),
      caption: trans.__("Say in words what the cell, or what is selected in it, does"),
      icon: infoIcon,
    },
    fix: {
      label: trans.__("Fix Cell"),
      caption: trans.__("Propose code without the error that the cell has"),
      icon: bugIcon,
    },
    document: {
      label: trans.__("Document Cell"),
      caption: trans.__("Propose docstrings for what the cell defines"),
      icon: textEditorIcon,
    },
    test: {
      label: trans.__("Test Cell"),
      caption: trans.__("Propose a new cell below that tests this one"),
      icon: codeCheckIcon,
    },
    review: {
      label: trans.__("Review Cell"),
      caption: trans.__("Say in words what could be wrong or better in the cell"),
      icon: searchIcon,
    },
    continue: {
      label: trans.__("Continue Cell"),
      caption: trans.__("Propose what comes next in the cell"),
      icon: fastForwardIcon,
    },
    edit: {
      label: trans.__("Edit Cell with an Instruction…"),
      caption: trans.__("Say what should be changed in the cell, and see it proposed"),
      icon: editIcon,
    },
  };
}
