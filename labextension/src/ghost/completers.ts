/** JupyterLab's inline completers, one a document: told of what is accepted, and kept from eating Tab. */

import type {
  CompletionHandler,
  IInlineCompleterFactory,
  InlineCompleter,
} from "@jupyterlab/completer";

/** While an editor bears it, Tab accepts. JupyterLab leaves it there when nothing is shown any more. */
export const ACTIVE = "jp-mod-inline-completer-active";

/** All completers that `factory` makes from now on, also for JupyterLab itself, while they live. */
export function followCompleters(
  factory: IInlineCompleterFactory,
  onAccepted: (item: CompletionHandler.IInlineItem) => void,
): ReadonlySet<InlineCompleter> {
  const all = new Set<InlineCompleter>();
  const make = factory.factory.bind(factory);
  factory.factory = (options) => {
    const completer = make(options);
    all.add(completer);
    completer.disposed.connect(() => all.delete(completer));
    const accept = completer.accept.bind(completer);
    completer.accept = () => {
      const { current, editor } = completer;
      accept();
      if (current && editor) onAccepted(current);
    };
    const settle = () => {
      if (!completer.isDisposed && !completer.current?.insertText)
        completer.editor?.host.classList.remove(ACTIVE);
    };
    completer.model?.suggestionsChanged.connect(settle);
    completer.model?.filterTextChanged.connect(() => {
      settle();
      setTimeout(settle, 0); // JupyterLab draws then, and would put the class back
    });
    return completer;
  };
  return all;
}
