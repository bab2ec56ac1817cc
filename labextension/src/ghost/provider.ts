/** Gives JupyterLab what the model in the kernel would write at the cursor. */

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
import type { INotebookTracker } from "@jupyterlab/notebook";
import type { TranslationBundle } from "@jupyterlab/translation";
import { offlineBoltIcon } from "@jupyterlab/ui-components";
import { Signal } from "@lumino/signaling";
import type { Widget } from "@lumino/widgets";
import type { Connections } from "../connection/connections.js";
import { Completers } from "./completers.js";
import type { Desk } from "./desks.js";
import { type Asked, type Listener, noteTaken, placeOf } from "./document_ghost.js";
import { DEFAULTS, type GhostSettings, readSettings, schema } from "./settings.js";
import { Writings } from "./writings.js";

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
  readonly #completers: Completers;
  readonly #writings: Writings;
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
    this.name = trans.__("Language Model");
    this.schema = schema(trans);
    this.#completers = new Completers(factory, (_, item) => this.#taken(item));
    this.#writings = new Writings(connections, tracker, this);
  }

  configure(settings: Record<string, unknown>): void {
    this.#settings = readSettings(settings);
  }

  async fetch(
    request: CompletionHandler.IRequest,
    context: IInlineCompletionContext,
  ): Promise<Items> {
    const isInvoked = context.triggerKind === INVOKED && !this.#isOwnInvoke;
    const writing = await this.#writings.at(context.widget, context.session ?? null);
    const sheet = writing?.desk.sheet;
    const editor = sheet?.editor;
    // After the delay the person may be in another cell.
    if (
      !writing ||
      !editor ||
      sheet?.readOnly ||
      sheet.model.sharedModel.getSource() !== request.text
    )
      return NONE;
    const { desk, ghost } = writing;
    const standing = ghost.standing(sheet);
    if (standing && !isInvoked) return this.#items(standing);
    if (!this.#isWanted(sheet.model.type, placeOf(editor).prefix, isInvoked)) return NONE;
    const asked = ghost.ask(desk, {
      isInvoked: isInvoked || sheet.model.type !== "code",
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

  onTyped({ widget }: Desk, isBlank: boolean): void {
    clearTimeout(this.#blank);
    // JupyterLab asks for nothing where only blanks stand before the cursor.
    if (isBlank) this.#blank = window.setTimeout(() => this.#invoke(widget), this.#settings.delay);
  }

  onStale(editor: CodeEditor.IEditor): void {
    const completer = this.#completers.of(editor);
    if (completer?.current && this.#shown.has(completer.current)) completer.model?.reset();
  }

  /** What is shown where somebody writes in a widget, of ours or of another provider's. */
  current(widget: Widget | null): CompletionHandler.IInlineItem | null {
    const editor = widget && this.#writings.editorIn(widget);
    return (editor && this.#completers.of(editor)?.current) ?? null;
  }

  /** Write the start of what is shown, and leave the rest standing. */
  acceptPiece(widget: Widget, pieceOf: (text: string) => string): void {
    const editor = this.#writings.editorIn(widget);
    const item = this.current(widget);
    if (!editor || !item?.insertText) return;
    const piece = pieceOf(item.insertText);
    const { editor: view } = editor as CodeMirrorEditor; // the text and the cursor change at once
    view.dispatch(view.state.replaceSelection(piece), { userEvent: "input.complete" });
    this.#taken(item);
    this.#invoke(widget);
  }

  #isWanted(kind: string, prefix: string, isInvoked: boolean): boolean {
    if (isInvoked) return true;
    const { isManual, isInMarkdown } = this.#settings;
    if (isManual) return false;
    return kind === "code" ? !/^\s*%%llm\b/.test(prefix) : kind === "markdown" && isInMarkdown;
  }

  #invoke(widget: Widget): void {
    if (widget.isDisposed || this.#settings.isManual) return;
    this.#isOwnInvoke = true;
    this.#manager.inline?.invoke(widget.id);
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
    if (shown) noteTaken(shown.asked);
  }
}
