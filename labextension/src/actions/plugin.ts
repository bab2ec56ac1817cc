/** The commands that do something with a cell, and where they are found. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette, IToolbarWidgetRegistry } from "@jupyterlab/apputils";
import type { Cell } from "@jupyterlab/cells";
import { IEditorLanguageRegistry } from "@jupyterlab/codemirror";
import { INotebookTracker, type NotebookPanel } from "@jupyterlab/notebook";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import {
  addBelowIcon,
  bugIcon,
  caretDownIcon,
  checkIcon,
  closeIcon,
  codeCheckIcon,
  cutIcon,
  editIcon,
  fastForwardIcon,
  infoIcon,
  LabIcon,
  MenuSvg,
  offlineBoltIcon,
  refreshIcon,
  searchIcon,
  ToolbarButton,
  textEditorIcon,
  undoIcon,
} from "@jupyterlab/ui-components";
import { CommandRegistry } from "@lumino/commands";
import { Connections } from "../connection/connections.js";
import type { Action, Change } from "../connection/messages.js";
import { CHAT, IJupyterLLM } from "../connection/public.js";
import { keepCommandKeysOut } from "../dom/shortcuts.js";
import { markSwitchedOff } from "../dom/switches.js";
import { trans } from "../dom/words.js";
import { PROPOSE } from "../page/notebook_page.js";
import { CellActions } from "./cell_actions.js";
import { addOutputButtons } from "./output_buttons.js";
import { addPromptLine } from "./prompt_line.js";
import { titles, type View } from "./view.js";

interface Command {
  label: string;
  caption: string;
  icon: LabIcon;
  isEnabled: () => boolean;
  isVisible: () => boolean;
  execute: () => void;
}

const EDIT = "jupyter-llm:edit";

type Look = Pick<Command, "label" | "caption" | "icon">;
type Review = { can: (actions: CellActions) => boolean; act: (actions: CellActions) => void };
type Decision = { can: (view: View) => boolean; act: (view: View) => void };

export const cellActions: JupyterFrontEndPlugin<IJupyterLLM> = {
  id: "jupyter-llm:actions",
  description: "Has the model explain, fix, write and review cells.",
  autoStart: true,
  provides: IJupyterLLM,
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
    const switches = ["fixButtons", "cellButton", "outputButtons", "emptyCellHint"];
    void markSwitchedOff(settings, cellActions.id, ...switches);
    showHint(commands);
    keepCommandKeysOut();
    const outputMenu = new MenuSvg({ commands });
    const all = new WeakMap<NotebookPanel, CellActions>();
    connections.added.connect((_, { panel, connection }) => {
      const actions = new CellActions({ panel, connection, languages, commands });
      all.set(panel, actions);
      addOutputButtons(panel, outputMenu, (cell) => actions.begin("fix", cell));
      void addPromptLine(panel, () => actions.begin("edit"));
      // One view of a notebook shows proposals: the first, or the next once that is closed.
      const lead = () => {
        const first = tracker.find(({ context }) => context === panel.context);
        if (first) all.get(first)?.follow();
      };
      lead();
      panel.disposed.connect(lead);
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
    const add = (name: string, command: Command, short = command.label): string => {
      const id = `jupyter-llm:${name}`;
      const properties = { isShort: { type: "boolean" } };
      const long = trans.__("LLM: %1", command.label); // the palette does not show the category
      const label = ({ isShort }: { isShort?: unknown }) => (isShort ? short : long);
      commands.addCommand(id, {
        ...command,
        label,
        describedBy: { args: { type: "object", properties } },
      });
      palette?.addItem({ command: id, category: menu.title.label });
      return id;
    };
    const isVisible = () => here()?.isOpen ?? false;
    for (const [action, look] of Object.entries(looks()) as [Action, Look][]) {
      const isEnabled = () => here()?.canDo(action) ?? false;
      const execute = () => here()?.begin(action);
      const command = add(action, { ...look, isEnabled, isVisible, execute }, titles()[action]);
      menu.addItem({ command });
    }
    const ask = {
      label: trans.__("Ask about Cell in the Chat"),
      caption: trans.__("Include the cell and its output in your next prompt in the chat"),
      icon: LabIcon.resolve({ icon: CHAT }),
      isEnabled: () => commands.hasCommand(CHAT) && (here()?.canDo("explain") ?? false),
      isVisible,
      execute: () => here()?.ask(),
    };
    menu.addItem({ command: add("ask", ask, trans.__("Ask about this")) });
    const undo = {
      label: trans.__("Undo the Last Run of Generated Code"),
      caption: trans.__("Bring back the variables that the run changed"),
      icon: undoIcon,
      isEnabled: isVisible,
      isVisible,
      execute: () => here()?.undo(),
    };
    menu.addItem({ command: add("undo", undo) });
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
    for (const [name, { can, act, ...look }] of Object.entries(reviews())) {
      const has = () => [here()].some((actions) => actions && can(actions));
      const execute = () => {
        const actions = here();
        if (actions) act(actions);
      };
      add(name, { ...look, isEnabled: has, isVisible: has, execute });
    }
    toolbars?.addFactory<Cell>("Cell", "jupyter-llm", () => cellButton(menu));
    return {
      attach: (label, text) => commands.execute(CHAT, { label, text }),
      addCellCommand: (command) => void menu.addItem({ command }),
      editCell: (instruction) => here()?.begin("edit", undefined, instruction),
    };
  },
};

/** Have the style sheet say in an empty cell which keys ask the model, whatever they are now. */
function showHint(commands: CommandRegistry): void {
  const show = () => {
    const { keys } = commands.keyBindings.find(({ command }) => command === EDIT) ?? {};
    const text = keys
      ? trans.__("Type, or press %1 to ask", CommandRegistry.formatKeystroke(keys))
      : "";
    document.body.style.setProperty("--jllm-hint", JSON.stringify(text));
  };
  commands.keyBindingChanged.connect((_, { binding }) => {
    if (binding.command === EDIT) show();
  });
  show();
}

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
    "read-change": {
      label: trans.__("Read Proposal Aloud"),
      caption: trans.__("Have a screen reader read the lines that a proposal removes and adds"),
      icon: infoIcon,
      can: (view) => view.changes.length > 0,
      act: (view) => view.read(),
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

/** The decisions about all proposals of a notebook that has so many at least. */
function reviews(): Record<string, Look & Review> {
  return {
    "next-proposal": {
      label: trans.__("Next Proposal"),
      caption: trans.__("Go to the next cell that has a proposal"),
      icon: caretDownIcon,
      can: ({ numOffers }) => numOffers > 0,
      act: (actions) => void actions.goNext(),
    },
    "accept-all": {
      label: trans.__("Accept All Proposals"),
      caption: trans.__("Put all proposals into their cells; one undo of the notebook reverts it"),
      icon: checkIcon,
      can: ({ isReviewing }) => isReviewing,
      act: (actions) => actions.acceptAll(),
    },
    "reject-all": {
      label: trans.__("Reject All Proposals"),
      caption: trans.__("Drop the proposals of all cells of the notebook"),
      icon: closeIcon,
      can: ({ isReviewing }) => isReviewing,
      act: (actions) => actions.rejectAll(),
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
    edit: {
      label: trans.__("Edit Cell with an Instruction…"),
      caption: trans.__("Say what should be changed in the cell, and see it proposed"),
      icon: editIcon,
    },
    continue: {
      label: trans.__("Continue Cell"),
      caption: trans.__("Propose what comes next in the cell"),
      icon: fastForwardIcon,
    },
    next: {
      label: trans.__("Continue in a New Cell"),
      caption: trans.__("Propose a new cell below that goes on from this one and its results"),
      icon: addBelowIcon,
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
    split: {
      label: trans.__("Split Cell by Its Structure"),
      caption: trans.__("Propose a cell for each part of the cell: imports, definitions, steps"),
      icon: cutIcon,
    },
  };
}
