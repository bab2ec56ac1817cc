/** Gives JupyterLab what the model in the kernel would write at the cursor. */

import { Notification } from "@jupyterlab/apputils";
import type { CodeEditor } from "@jupyterlab/codeeditor";
import type { CodeMirrorEditor } from "@jupyterlab/codemirror";
import type {
  CompletionHandler,
  ICompletionProviderManager,
  IInlineCompleterFactory,
  IInlineCompletionContext,
  IInlineCompletionItem,
  IInlineCompletionList,
  IInlineCompletionProvider,
  InlineCompleter,
} from "@jupyterlab/completer";
import type { INotebookTracker } from "@jupyterlab/notebook";
import { offlineBoltIcon } from "@jupyterlab/ui-components";
import { Signal } from "@lumino/signaling";
import type { Widget } from "@lumino/widgets";
import type { Connections } from "../connection/connections.js";
import { trans } from "../dom/words.js";
import { followCompleters } from "./completers.js";
import { type Listener, PAUSE_MS } from "./document_ghost.js";
import { DEFAULTS, schema } from "./settings.js";
import type { Suggestion } from "./suggestion.js";
import { noteTaken } from "./taken.js";
import { Writings } from "./writings.js";

/** JupyterLab's own number for what a person asks for by hand. */
const INVOKED = 0;

/** After a run the kernel first gets the cells, and reading them would end a suggestion. */
const AFTER_RUN_MS = 2 * PAUSE_MS;

type Items = IInlineCompletionList<IInlineCompletionItem>;

const NONE: Items = { items: [] };

export class GhostProvider implements IInlineCompletionProvider, Listener {
  readonly identifier = "jupyter-llm";
  readonly name = trans.__("Language Model");
  readonly icon = offlineBoltIcon;
  readonly schema = schema();

  readonly #manager: ICompletionProviderManager;
  readonly #completers: ReadonlySet<InlineCompleter>;
  readonly #writings: Writings;
  /** The items that JupyterLab shows, and what each is one of. */
  readonly #shown = new WeakMap<IInlineCompletionItem, { asked: Suggestion; number: number }>();
  readonly #streams = new Map<string, IInlineCompletionItem>();
  #settings = DEFAULTS;
  #isOwnInvoke = false;
  #blank = 0;
  #numStreams = 0;

  constructor(
    manager: ICompletionProviderManager,
    factory: IInlineCompleterFactory,
    tracker: INotebookTracker,
    connections: Connections,
  ) {
    this.#manager = manager;
    this.#completers = followCompleters(factory, (item) => this.#taken(item));
    this.#writings = new Writings(connections, tracker, this);
  }

  configure(settings: Partial<typeof DEFAULTS>): void {
    this.#settings = { ...DEFAULTS, ...settings };
  }

  async fetch(
    { text }: CompletionHandler.IRequest,
    { widget, session, triggerKind }: IInlineCompletionContext,
  ): Promise<Items> {
    const isInvoked = triggerKind === INVOKED && !this.#isOwnInvoke;
    const ghost = await this.#writings.at(widget, session ?? null);
    const sheet = ghost?.desk.sheet;
    const { editor, model } = sheet ?? {};
    // After the delay the person may be in another cell.
    if (!sheet || !editor || model?.sharedModel.getSource() !== text) return NONE;
    if (editor.getOption("readOnly")) return NONE;
    const fitting = ghost.fitting(sheet);
    if (fitting && !isInvoked) return this.#items(fitting);
    const { manualOnly, inMarkdown, alternatives, maxLines } = this.#settings;
    const isCode = model.type === "code";
    const isWanted = isCode || (model.type === "markdown" && inMarkdown);
    if (!isInvoked && (manualOnly || !isWanted)) return NONE;
    const asked = ghost.ask({
      is_invoked: isInvoked || !isCode,
      num_items: isInvoked ? alternatives : 1,
      max_lines: maxLines,
    });
    if (isInvoked && ghost.isWithoutModel) {
      const text = trans.__(
        "Ghost text needs a loaded model: ask something, or run %llm /use MODEL.",
      );
      Notification.info(text, { autoClose: 8000 });
    }
    if (!asked) return NONE;
    if (isInvoked) void this.#addOthers(asked);
    return this.#items(asked);
  }

  async *stream(token: string): AsyncGenerator<{ response: IInlineCompletionItem }> {
    const item = this.#streams.get(token);
    this.#streams.delete(token);
    const shown = item && this.#shown.get(item);
    if (!shown) return;
    const { asked, number } = shown;
    for (;;) {
      const { changed } = asked;
      const left = asked.rest(number);
      if (left === null) return;
      delete item.filterText; // it tells of what was there when a key was pressed
      const response: IInlineCompletionItem = { insertText: left };
      if (asked.error !== null) response.error = { message: asked.error };
      yield { response };
      if (asked.items[number]?.isFinal ?? true) break;
      await changed;
    }
    if (item.insertText === "") this.onStale(asked.editor);
  }

  onTyped(widget: Widget, isBlank: boolean): void {
    clearTimeout(this.#blank);
    // JupyterLab asks for nothing where only blanks stand before the cursor.
    const { debouncerDelay } = this.#settings;
    if (isBlank) this.#blank = window.setTimeout(() => this.#invoke(widget), debouncerDelay);
  }

  /** After a cell ran, suggest code in the cell with the focus if that cell is empty. */
  onRan(widget: Widget): void {
    clearTimeout(this.#blank);
    if (!this.#settings.nextCell) return;
    this.#blank = window.setTimeout(() => {
      const { editor, model } = this.#writings.of(widget)?.desk.sheet ?? {};
      if (editor?.hasFocus() && model?.sharedModel.getSource() === "") this.#invoke(widget);
    }, AFTER_RUN_MS);
  }

  onStale(editor: CodeEditor.IEditor): void {
    const completer = this.#completerOf(editor);
    if (completer?.current && this.#shown.has(completer.current)) completer.model?.reset();
  }

  /** The suggestion that a widget shows, of ours or of another provider's. */
  current(widget: Widget | null): CompletionHandler.IInlineItem | null {
    return this.#completerOf(this.#writings.of(widget)?.desk.sheet?.editor)?.current ?? null;
  }

  /** Write the start of what is shown, and leave the rest standing. */
  acceptPiece(widget: Widget, pieceOf: (text: string) => string): void {
    const editor = this.#writings.of(widget)?.desk.sheet?.editor;
    const item = this.current(widget);
    if (!editor || !item?.insertText) return;
    const piece = pieceOf(item.insertText);
    const { editor: view } = editor as CodeMirrorEditor; // the text and the cursor change at once
    view.dispatch(view.state.replaceSelection(piece), { userEvent: "input.complete" });
    this.#taken(item);
    this.#invoke(widget);
  }

  #completerOf(editor: CodeEditor.IEditor | null | undefined): InlineCompleter | null {
    return [...this.#completers].find((one) => editor && one.editor === editor) ?? null;
  }

  #invoke(widget: Widget): void {
    if (widget.isDisposed || this.#settings.manualOnly) return;
    this.#isOwnInvoke = true;
    this.#manager.inline?.invoke(widget.id);
    this.#isOwnInvoke = false;
  }

  /** All that can be shown of a request by now; waits until there is something. */
  async #items(asked: Suggestion): Promise<Items> {
    for (;;) {
      const { changed } = asked;
      const items = this.#newItems(asked);
      if (items.length > 0 || asked.isOver) return { items };
      await changed;
    }
  }

  /** An item for each suggestion of which something is left, but for those with these numbers. */
  #newItems(asked: Suggestion, others: readonly unknown[] = []): IInlineCompletionItem[] {
    return asked.items.flatMap(({ isFinal }, number) => {
      const insertText = others.includes(number) ? null : asked.rest(number);
      if (!insertText) return [];
      const item: IInlineCompletionItem = { insertText };
      if (!isFinal) {
        this.#numStreams += 1;
        item.token = `${asked.target}/${this.#numStreams}`;
        item.isIncomplete = true;
        this.#streams.set(item.token, item);
      }
      this.#shown.set(item, { asked, number });
      return [item];
    });
  }

  /** Show the other suggestions as well, once they are there: JupyterLab takes what is there first. */
  async #addOthers(asked: Suggestion): Promise<void> {
    while (!asked.isOver) await asked.changed;
    const model = this.#completerOf(asked.editor)?.model;
    const shown = model?.completions?.items.map((item) => this.#shown.get(item)) ?? [];
    if (!model || !shown.some((one) => one?.asked === asked)) return;
    const numbers = shown.map((one) => one?.number);
    const items = this.#newItems(asked, numbers).map((one) => {
      const item = Object.assign(one as CompletionHandler.IInlineItem, { provider: this });
      item.stream = new Signal(item);
      return item;
    });
    if (items.length > 0) model.appendCompletions({ items });
  }

  #taken(item: CompletionHandler.IInlineItem): void {
    const shown = this.#shown.get(item);
    if (shown) noteTaken(shown.asked);
  }
}
