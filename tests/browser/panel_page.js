/** The panel without a kernel and without JupyterLab: what both would do is told from Python. */

import createWidget from "./chat_panel.js";
import { createMarkdownView } from "./markdown/markdown.js";

Object.assign(window, { createMarkdownView });

const PANEL_ID = "c0ffee12c0ffee12";

/** What anywidget hands to a widget. What is asked of the kernel is kept in `sent`. */
class FakeModel {
  sent = [];
  listeners = new Set();
  seq = 0;
  document = null;
  answers = {};
  isSilent = false; // as a kernel is whose main thread is busy and that has no subshells

  constructor(manager) {
    this.widget_manager = manager;
  }

  get(name) {
    return name === "panel_id" ? PANEL_ID : undefined;
  }

  on(event, listener) {
    if (event === "msg:custom") this.listeners.add(listener);
  }

  off(event, listener) {
    if (event === "msg:custom") this.listeners.delete(listener);
  }

  send(message) {
    this.sent.push(structuredClone(message));
    if (!this.isSilent) this.take(message);
  }

  take({ id, method }) {
    this.tell({ type: "ack", id });
    if (method === "follow") this.tell({ type: "document", id, document: this.document });
    if (method in this.answers) this.tell({ type: "reply", id, value: this.answers[method] });
  }

  wake() {
    this.isSilent = false;
    for (const message of this.sent) this.take(message);
  }

  /** As messages come: later, and each in its turn. */
  tell(...messages) {
    for (const message of messages) {
      this.seq += 1;
      const sent = structuredClone({ ...message, seq: this.seq });
      queueMicrotask(() => {
        for (const listener of [...this.listeners]) listener(sent, []);
      });
    }
  }
}

/** A notebook as far as the panel reaches into JupyterLab's, and what the extension says of it. */
class FakeNotebook {
  cells = [];
  active = null;
  proposed = [];
  element = document.createElement("div");

  constructor(sources) {
    this.element.className = "jp-Notebook";
    this.insert(
      0,
      sources.map((source) => ({ source })),
    );
    const cells = this.cells;
    this.context = {
      path: "work/talk.ipynb",
      model: {
        cells: {
          get length() {
            return cells.length;
          },
          get: (index) => cells[index],
        },
        sharedModel: {
          transact: (change) => change(),
          insertCells: (index, made) => this.insert(index, made),
        },
      },
    };
  }

  insert(index, made) {
    const cells = made.map(({ source, metadata = {} }) => {
      const element = document.createElement("div");
      element.className = "jp-Cell";
      element.append(source);
      element.onmousedown = () => this.activate(this.cells.findIndex((c) => c.element === element));
      const cell = {
        id: `cell-${crypto.randomUUID()}`,
        type: "code",
        executionCount: null,
        element,
        source,
        metadata,
        sharedModel: {
          transact: (change) => change(),
          getSource: () => cell.source,
          setSource: (text) => {
            cell.source = text;
          },
          updateSource: (start, end, text) => {
            cell.source = cell.source.slice(0, start) + text + cell.source.slice(end);
          },
          getMetadata: (key) => cell.metadata[key],
          setMetadata: (key, value) => {
            cell.metadata[key] = value;
          },
        },
      };
      return cell;
    });
    this.cells.splice(index, 0, ...cells);
    this.element.replaceChildren(...this.cells.map(({ element }) => element));
  }

  activate(index) {
    this.active = this.cells[index];
  }

  /** What the extension lends to a chat in this notebook. */
  get view() {
    return {
      activeId: () => this.active?.id ?? null,
      selection: () => null,
      ownId: () => null,
      onActiveChanged: () => () => {},
      propose: async (change) => void this.proposed.push(change),
      otherNotebooks: () => ["work/plan.ipynb"],
      dispose: () => {},
    };
  }

  get state() {
    return this.cells.map(({ source, metadata }) => ({ source, metadata }));
  }
}

/** One model, its views, and the notebook around them. */
window.panelPage = {
  async open(chat, sources, answers, hasExtension) {
    this.notebook = sources && new FakeNotebook(sources);
    globalThis.jupyterLlmNotebook = hasExtension ? () => this.notebook.view : undefined;
    this.model = new FakeModel(this.notebook && { context: this.notebook.context });
    this.model.document = chat;
    this.model.answers = answers;
    this.widget = createWidget();
    this.closers = [];
    this.endWidget = this.widget.initialize({ model: this.model });
    if (this.notebook) document.querySelector("main").append(this.notebook.element);
    await this.show();
  },

  /** Show one more view. */
  async show() {
    const el = document.createElement("div");
    document.querySelector("main").append(el);
    this.closers.push(await this.widget.render({ model: this.model, el }));
  },
};
window.isReady = true;
