/** Ghost text: what the model would write, shown where one types. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { ICompletionProviderManager, IInlineCompleterFactory } from "@jupyterlab/completer";
import { INotebookTracker, NotebookActions } from "@jupyterlab/notebook";
import type { Widget } from "@lumino/widgets";
import { Connections } from "../connection/connections.js";
import { createAnnouncer } from "../dom/elements.js";
import { trans } from "../dom/words.js";
import { ACTIVE } from "./completers.js";
import { GhostProvider } from "./provider.js";
import { firstLine, firstWord } from "./suggestion.js";

export const ghostText: JupyterFrontEndPlugin<void> = {
  id: "jupyter-llm:ghost",
  description: "Suggests what the model in the kernel would write at the cursor.",
  autoStart: true,
  requires: [ICompletionProviderManager, IInlineCompleterFactory, INotebookTracker, Connections],
  optional: [ICommandPalette],
  // Providers that are registered once the application is restored get no settings.
  activate: (
    app: JupyterFrontEnd,
    manager: ICompletionProviderManager,
    factory: IInlineCompleterFactory,
    tracker: INotebookTracker,
    connections: Connections,
    palette: ICommandPalette | null,
  ) => {
    const { commands } = app;
    const provider = new GhostProvider(manager, factory, tracker, connections);
    manager.registerInlineProvider(provider);
    NotebookActions.executed.connect((_, { notebook, success }) => {
      const panel = tracker.find(({ content }) => content === notebook);
      if (panel && success) provider.onRan(panel);
    });

    const shown = () => provider.current(app.shell.currentWidget)?.insertText ?? "";
    const add = (command: string, label: string, act: (widget: Widget) => void) => {
      commands.addCommand(command, {
        label,
        isEnabled: () => shown() !== "",
        execute: () => {
          if (app.shell.currentWidget) act(app.shell.currentWidget);
        },
        describedBy: { args: { type: "object", properties: {} } },
      });
      palette?.addItem({ command, category: trans.__("Language Model") });
    };
    add(
      "jupyter-llm:accept-word",
      trans.__("LLM: Accept Next Word of Inline Completion"),
      (widget) => provider.acceptPiece(widget, firstWord),
    );
    add(
      "jupyter-llm:accept-line",
      trans.__("LLM: Accept Next Line of Inline Completion"),
      (widget) => provider.acceptPiece(widget, firstLine),
    );
    const announcer = createAnnouncer();
    document.body.append(announcer.element);
    add("jupyter-llm:read-suggestion", trans.__("LLM: Read Inline Completion Aloud"), () =>
      announcer.say(shown()),
    );

    // Editors move their cursor with these keys before a shortcut would hear of them.
    const take = (event: KeyboardEvent) => {
      const isWanted =
        event.key === "ArrowRight" && (event.ctrlKey || event.metaKey || event.altKey);
      const isHere = event.target instanceof Element && event.target.closest(`.${ACTIVE}`);
      if (isWanted && isHere && shown()) commands.processKeydownEvent(event);
    };
    document.addEventListener("keydown", take, true);
  },
};
