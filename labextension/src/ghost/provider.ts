/** Gives JupyterLab what the model in a notebook's kernel would write at the cursor. */

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
} from "@jupyterlab/completer";
import type { INotebookTracker, NotebookPanel } from "@jupyterlab/notebook";
import type { TranslationBundle } from "@jupyterlab/translation";
import { offlineBoltIcon } from "@jupyterlab/ui-components";
import { Signal } from "@lumino/signaling";
import type { Connections } from "../connection/connections.js";
import { Completers } from "./completers.js";
import { type Asked, type Listener, NotebookGhost, placeOf } from "./notebook_ghost.js";
import { DEFAULTS, type GhostSettings, readSettings, schema } from "./settings.js";

/** JupyterLab's own number for what a person asks for by hand. */
const INVOKED = 0;

type Items = IInlineCompletionList<IInlineCompletionItem>;

/** An item that JupyterLab shows, and what it is one of. */
interface Shown {
  asked: Asked;
  number: number;
}

const NONE: Items = { items: [] };

export class GhostProvider implements IInlineCompletionProvider, Listener {
  readonly identifier = "jupyter-llm";
  readonly name: string;
  readonly icon = offlineBoltIcon;
  readonly schema: NonNullable<IInlineCompletionProvider["schema"]>;

  readonly #manager: ICompletionProviderManager;
  readonly #tracker: INotebookTracker;
  readonly #completers: Completers;
  readonly #ghosts = new WeakMap<object, NotebookGhost>();
  readonly #shown = new WeakMap<IInlineCompletionItem, Shown>();
  readonly #streams = new Map<string, IInlineCompletionItem>();
  #settings: GhostSettings = DEFAULTS;
  #isOwnInvoke = false;
  #blank = 0;
  #numStreams = 0;

  constructor(
    manager: ICompletionProviderManager,
    factory: IInlineCompleterFactory,
    tracker: INotebookTracker,
    connections: Connections,
    trans: TranslationBundle,
  ) {
    this.#manager = manager;
    this.#tracker = tracker;
    this.name = trans.__("Language Model");
    this.schema = schema(trans);
    this.#completers = new Completers(factory, (_, item) => this.#taken(item));
    connections.added.connect((_, { panel, connection }) => {
      let ghost = this.#ghosts.get(connection);
      if (!ghost) {
        ghost = new NotebookGhost(connection, this);
        this.#ghosts.set(connection, ghost);
      }
      this.#ghosts.set(panel, ghost);
      ghost.add(panel);
    });
  }

  configure(settings: Record<string, unknown>): void {
    this.#settings = readSettings(settings);
  }

  async fetch(
    request: CompletionHandler.IRequest,
    context: IInlineCompletionContext,
  ): Promise<Items> {
    const isInvoked = context.triggerKind === INVOKED && !this.#isOwnInvoke;
    const panel = this.#tracker.find((one) => one === context.widget);
    const ghost = panel && this.#ghosts.get(panel);
    const cell = panel?.content.activeCell;
    const editor = cell?.editor;
    // After the delay the person may be in another cell.
    if (!ghost || !editor || cell.readOnly || cell.model.sharedModel.getSource() !== request.text)
      return NONE;
    const standing = ghost.standing(cell);
    if (standing && !isInvoked) return this.#items(standing);
    if (!this.#isWanted(cell.model.type, placeOf(editor).prefix, isInvoked)) return NONE;
    const asked = ghost.ask(panel, cell, editor, {
      isInvoked: isInvoked || cell.model.type !== "code",
      numItems: isInvoked ? this.#settings.numAlternatives : 1,
      maxLines: this.#settings.maxLines,
    });
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
    const { suggestion, editor } = asked;
    for (;;) {
      const { changed } = suggestion;
      const left = editor.isDisposed ? null : suggestion.rest(number, placeOf(editor));
      if (left === null || suggestion.isCancelled) return;
      delete item.filterText; // it tells of what was there when a key was pressed
      const response: IInlineCompletionItem = { insertText: left };
      if (suggestion.error !== null) response.error = { message: suggestion.error };
      yield { response };
      if (suggestion.items[number]?.isFinal ?? true) break;
      await changed;
    }
    if (item.insertText === "") this.onStale(editor);
  }

  onTyped(panel: NotebookPanel, isBlank: boolean): void {
    clearTimeout(this.#blank);
    // JupyterLab asks for nothing where only blanks stand before the cursor.
    if (isBlank) this.#blank = window.setTimeout(() => this.#invoke(panel), this.#settings.delay);
  }

  onStale(editor: CodeEditor.IEditor): void {
    const completer = this.#completers.of(editor);
    if (completer?.current && this.#shown.has(completer.current)) completer.model?.reset();
  }

  /** What an editor shows of ours, or of another provider's. */
  current(editor: CodeEditor.IEditor): CompletionHandler.IInlineItem | null {
    return this.#completers.of(editor)?.current ?? null;
  }

  /** Write the start of what is shown, and leave the rest standing. */
  acceptPiece(panel: NotebookPanel, pieceOf: (text: string) => string): void {
    const editor = panel.content.activeCell?.editor;
    const item = editor && this.current(editor);
    if (!editor || !item?.insertText) return;
    const piece = pieceOf(item.insertText);
    const { editor: view } = editor as CodeMirrorEditor; // the text and the cursor change at once
    view.dispatch(view.state.replaceSelection(piece), { userEvent: "input.complete" });
    this.#taken(item);
    this.#invoke(panel);
  }

  #isWanted(kind: string, prefix: string, isInvoked: boolean): boolean {
    if (isInvoked) return true;
    const { isManual, isInMarkdown } = this.#settings;
    if (isManual) return false;
    return kind === "code" ? !/^\s*%%llm\b/.test(prefix) : kind === "markdown" && isInMarkdown;
  }

  #invoke(panel: NotebookPanel): void {
    if (panel.isDisposed || this.#settings.isManual) return;
    this.#isOwnInvoke = true;
    this.#manager.inline?.invoke(panel.id);
    this.#isOwnInvoke = false;
  }

  /** All that can be shown of a request by now; waits until there is something. */
  async #items(asked: Asked): Promise<Items> {
    const { suggestion, editor } = asked;
    for (;;) {
      const { changed } = suggestion;
      if (suggestion.isCancelled || editor.isDisposed) return NONE;
      const items = suggestion.items
        .map((_, number) => this.#item(asked, number))
        .filter((item) => item !== null);
      if (items.length > 0 || suggestion.isOver) return { items };
      await changed;
    }
  }

  #item(asked: Asked, number: number): IInlineCompletionItem | null {
    const insertText = asked.suggestion.rest(number, placeOf(asked.editor));
    if (!insertText) return null;
    const item: IInlineCompletionItem = { insertText };
    if (!asked.suggestion.items[number]?.isFinal) {
      this.#numStreams += 1;
      item.token = `${asked.target}/${this.#numStreams}`;
      item.isIncomplete = true;
      this.#streams.set(item.token, item);
    }
    this.#shown.set(item, { asked, number });
    return item;
  }

  /** Show the other suggestions as well, once they are there: JupyterLab takes what is there first. */
  async #addOthers(asked: Asked): Promise<void> {
    const { suggestion, editor } = asked;
    while (!suggestion.isOver) await suggestion.changed;
    const model = this.#completers.of(editor)?.model;
    const known = model?.completions?.items ?? [];
    const isShown = known.some((item) => this.#shown.get(item)?.asked === asked);
    if (!model || !isShown || suggestion.isCancelled) return;
    const numbers = known.map((item) => this.#shown.get(item)?.number);
    const items = suggestion.items
      .map((_, number) => (numbers.includes(number) ? null : this.#item(asked, number)))
      .filter((item) => item !== null)
      .map((item) => {
        const shown = item as CompletionHandler.IInlineItem;
        shown.provider = this;
        shown.stream = new Signal<CompletionHandler.IInlineItem, never>(shown);
        return shown;
      });
    if (items.length > 0) model.appendCompletions({ items });
  }

  #taken(item: CompletionHandler.IInlineItem): void {
    const shown = this.#shown.get(item);
    const panel =
      shown && this.#tracker.find((one) => one.content.widgets.includes(shown.asked.cell));
    if (panel) this.#ghosts.get(panel)?.taken(shown.asked);
  }
}
