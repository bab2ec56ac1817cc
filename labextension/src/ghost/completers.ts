/** JupyterLab's inline completers, one a document: told of what is accepted, and kept from eating Tab. */

import type { CodeEditor } from "@jupyterlab/codeeditor";
import type {
  CompletionHandler,
  IInlineCompleterFactory,
  InlineCompleter,
} from "@jupyterlab/completer";

type Item = CompletionHandler.IInlineItem;

/** While an editor bears it, Tab accepts. JupyterLab leaves it there when nothing is shown any more. */
export const ACTIVE = "jp-mod-inline-completer-active";

export class Completers {
  readonly #all = new Set<InlineCompleter>();
  readonly #onAccepted: (editor: CodeEditor.IEditor, item: Item) => void;

  /** `factory` makes all completers from now on, also for JupyterLab itself. */
  constructor(
    factory: IInlineCompleterFactory,
    onAccepted: (editor: CodeEditor.IEditor, item: Item) => void,
  ) {
    this.#onAccepted = onAccepted;
    const make = factory.factory.bind(factory);
    factory.factory = (options) => this.#follow(make(options));
  }

  /** The completer that shows something in an editor, or null. */
  of(editor: CodeEditor.IEditor): InlineCompleter | null {
    return [...this.#all].find((completer) => completer.editor === editor) ?? null;
  }

  #follow(completer: InlineCompleter): InlineCompleter {
    this.#all.add(completer);
    completer.disposed.connect(() => this.#all.delete(completer));
    const accept = completer.accept.bind(completer);
    completer.accept = () => {
      const { current, editor } = completer;
      accept();
      if (current && editor) this.#onAccepted(editor, current);
    };
    const settle = () => {
      if (!completer.isDisposed && !completer.current?.insertText)
        completer.editor?.host.classList.remove(ACTIVE);
    };
    const settleTwice = () => {
      settle();
      setTimeout(settle, 0); // JupyterLab draws then, and would put the class back
    };
    completer.model?.filterTextChanged.connect(settleTwice);
    completer.model?.suggestionsChanged.connect(settle);
    return completer;
  }
}
