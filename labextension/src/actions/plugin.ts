/** The commands that do something with a cell, and where they are found. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette, IToolbarWidgetRegistry } from "@jupyterlab/apputils";
import type { Cell } from "@jupyterlab/cells";
import { IEditorLanguageRegistry } from "@jupyterlab/codemirror";
import { INotebookTracker, type NotebookPanel } from "@jupyterlab/notebook";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
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
  refreshIcon,
  searchIcon,
  ToolbarButton,
  textEditorIcon,
} from "@jupyterlab/ui-components";
import { Connections } from "../connection/connections.js";
import type { Action, Change } from "../connection/messages.js";
import { keepCommandKeysOut } from "../dom/shortcuts.js";
import { markSwitchedOff } from "../dom/switches.js";
import { trans } from "../dom/words.js";
import { PROPOSE } from "../page/notebook_page.js";
import { CellActions } from "./cell_actions.js";
import { addFixButtons } from "./fix_buttons.js";
import type { View } from "./view.js";

interface Command {
  label: string;
  caption: string;
  icon: LabIcon;
  isEnabled: () => boolean;
  isVisible: () => boolean;
  execute: () => void;
}

type Look = Pick<Command, "label" | "caption" | "icon">;
type Decision = { can: (view: View) => boolean; act: (view: View) => void };

export const cellActions: JupyterFrontEndPlugin<void> = {
  id: "jupyter-llm:actions",
  description: "Has the model explain, fix, write and review cells.",
  autoStart: true,
  requires: [INotebookTracker, Connections, IEditorLanguageRegistry],
  optional: [ICommandPalette, IToolbarWidgetRegistry, ISettingRegistry],
  activate: (
    { commands }: JupyterFrontEnd,
    tracker: INotebookTracker,
    connections: Connections,
    languages: IEditorLanguageRegistry,
    palette: ICommandPalette | null,
    toolbars: IToolbarWidgetRegistry | null,
    settings: ISettingRegistry | null,
  ) => {
    void markSwitchedOff(settings, cellActions.id, "fixButtons", "cellButton");
    keepCommandKeysOut();
    const all = new WeakMap<NotebookPanel, CellActions>();
    connections.added.connect((_, { panel, connection }) => {
      const actions = new CellActions({ panel, connection, languages, commands });
      all.set(panel, actions);
      addFixButtons(panel, (cell) => actions.begin("fix", cell));
    });
    const here = () => (tracker.currentWidget ? all.get(tracker.currentWidget) : undefined);
    commands.addCommand(PROPOSE, {
      execute: async ({ panel, change }) => {
        const shown = tracker.find(({ id }) => id === panel);
        const actions = shown && all.get(shown);
        if (!actions) throw new Error(trans.__("The notebook is no longer open."));
        await actions.propose(change as unknown as Change);
      },
      describedBy: {
        args: {
          type: "object",
          properties: { panel: { type: "string" }, change: { type: "object" } },
        },
      },
    });
    const menu = new MenuSvg({ commands });
    menu.title.label = trans.__("Language Model");
    const add = (name: string, command: Command): string => {
      const id = `jupyter-llm:${name}`;
      const describedBy = { args: { type: "object", properties: {} } };
      const label = trans.__("LLM: %1", command.label); // the palette does not show the category
      commands.addCommand(id, { ...command, label, describedBy });
      palette?.addItem({ command: id, category: menu.title.label });
      return id;
    };
    for (const [action, look] of Object.entries(looks()) as [Action, Look][]) {
      const command = add(action, {
        ...look,
        isEnabled: () => here()?.canDo(action) ?? false,
        isVisible: () => here()?.isOpen ?? false,
        execute: () => here()?.begin(action),
      });
      menu.addItem({ command });
    }
    for (const [name, { can, act, ...look }] of Object.entries(decisions())) {
      const view = () => [here()?.view].find((one) => one && can(one));
      add(name, {
        ...look,
        isEnabled: () => view() !== undefined,
        isVisible: () => here()?.isOpen || Boolean(here()?.view),
        execute: () => {
          const shown = view();
          if (shown) act(shown);
        },
      });
    }
    toolbars?.addFactory<Cell>("Cell", "jupyter-llm", () => cellButton(menu));
  },
};

function cellButton(menu: MenuSvg): ToolbarButton {
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

/** The decisions about the result of an action. */
function decisions(): Record<string, Look & Decision> {
  return {
    accept: {
      label: trans.__("Accept Proposal"),
      caption: trans.__("Put the proposed code into the cell"),
      icon: checkIcon,
      can: (view) => view.isAcceptable,
      act: (view) => view.accept(),
    },
    reject: {
      label: trans.__("Reject Proposal"),
      caption: trans.__("Stop what is done with the cell, and drop what came of it"),
      icon: closeIcon,
      can: () => true,
      act: (view) => view.stop(),
    },
    "accept-change": {
      label: trans.__("Accept First Change"),
      caption: trans.__("Put the first of several changes into the cell; the others stay proposed"),
      icon: checkIcon,
      can: (view) => view.hasChanges,
      act: (view) => view.decide(0, true),
    },
    "reject-change": {
      label: trans.__("Reject First Change"),
      caption: trans.__("Drop the first of several changes; the others stay proposed"),
      icon: closeIcon,
      can: (view) => view.hasChanges,
      act: (view) => view.decide(0, false),
    },
    again: {
      label: trans.__("Another Proposal"),
      caption: trans.__("Have the model propose something else for the cell"),
      icon: refreshIcon,
      can: (view) => view.isDone,
      act: (view) => view.again(),
    },
  };
}

function looks(): Record<Action, Look> {
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
