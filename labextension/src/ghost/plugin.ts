/** Ghost text: what the model would write, shown where one types. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { ICompletionProviderManager, IInlineCompleterFactory } from "@jupyterlab/completer";
import { INotebookTracker } from "@jupyterlab/notebook";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { Connections } from "../connection/connections.js";
import { GhostProvider } from "./provider.js";
import { firstLine, firstWord } from "./suggestion.js";

export const ghostText: JupyterFrontEndPlugin<void> = {
  id: "jupyter-llm:ghost",
  description: "Suggests what the model in the kernel would write at the cursor.",
  autoStart: true,
  requires: [ICompletionProviderManager, IInlineCompleterFactory, INotebookTracker, Connections],
  optional: [ITranslator, ICommandPalette],
  // Providers that are registered once the application is restored get no settings.
  activate: (
    app: JupyterFrontEnd,
    manager: ICompletionProviderManager,
    factory: IInlineCompleterFactory,
    tracker: INotebookTracker,
    connections: Connections,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
  ) => {
    const { commands } = app;
    const trans = (translator ?? nullTranslator).load("jupyter_llm");
    const provider = new GhostProvider(manager, factory, tracker, connections, trans);
    manager.registerInlineProvider(provider);

    const isShown = () => {
      const editor = tracker.activeCell?.editor;
      return !!editor && !!provider.current(editor)?.insertText;
    };
    const add = (command: string, label: string, pieceOf: (text: string) => string) => {
      commands.addCommand(command, {
        label: `LLM: ${label}`,
        isEnabled: isShown,
        execute: () => {
          if (tracker.currentWidget) provider.acceptPiece(tracker.currentWidget, pieceOf);
        },
        describedBy: { args: { type: "object", properties: {} } },
      });
      palette?.addItem({ command, category: trans.__("Language Model") });
    };
    add("jupyter-llm:accept-word", trans.__("Accept Next Word of Inline Completion"), firstWord);
    add("jupyter-llm:accept-line", trans.__("Accept Next Line of Inline Completion"), firstLine);

    // Editors move their cursor with these keys before a shortcut would hear of them.
    const accept = (event: KeyboardEvent) => {
      const isMeant =
        event.key === "ArrowRight" && (event.ctrlKey || event.metaKey || event.altKey);
      const isHere = event.target instanceof Element && event.target.closest(".jp-Notebook");
      if (isMeant && isHere && isShown()) commands.processKeydownEvent(event);
    };
    document.addEventListener("keydown", accept, true);
  },
};
