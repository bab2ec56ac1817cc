/** The chats of a notebook go by the names that they have in the kernel, whoever gave them. */

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { pathToFileURL } from "node:url";
import { PageConfig } from "@jupyterlab/coreutils";
import { ContentsManager } from "@jupyterlab/services";
import { Signal } from "@lumino/signaling";
import { Unsent } from "../lib/compose/unsent.js";
import { NotebookChats } from "../lib/sidebar/notebook_chats.js";
import { savedChats } from "../lib/sidebar/saved_chats.js";
import { openStorage } from "./storage.js";

const WIDGET = `
module.exports = () => ({
  initialize: () => () => {},
  render({ model }) {
    model.on("attach", (one) => globalThis.attached?.push(one));
    return () => {};
  },
});
module.exports.createMarkdownView = () => ({ element: {}, update() {} });
`;

const SAID = "> Who?\n\n* * *\n\nMe.";

const folder = mkdtempSync(join(tmpdir(), "chats-"));
mkdirSync(join(folder, "jupyter-llm/static"), { recursive: true });
writeFileSync(join(folder, "jupyter-llm/static/chat_panel.js"), WIDGET);
PageConfig.setOption("fullLabextensionsUrl", pathToFileURL(folder).href);
after(() => rmSync(folder, { recursive: true }));

/** Stands for any element; what is appended has been fetched at once. */
class FakeElement {
  /** @type {any[]} */
  parts = [];
  classList = new Set();
  append = (/** @type {any[]} */ ...parts) => {
    this.parts.push(...parts);
    for (const part of parts) part?.onload?.();
  };
  setAttribute() {}
  replaceChildren() {}
  remove() {}
}

/** @type {any} */
let connection;
/** @type {any} */
let panel;
/** @type {Map<string, string>} What the application keeps. */
let kept;
/** @type {NotebookChats} */
let chats;
/** @type {object[]} The chats that the kernel has, if not the one that is renamed. */
let saved;

beforeEach(async () => {
  const document = { createElement: () => new FakeElement(), head: new FakeElement() };
  Object.assign(globalThis, { document });
  connection = { state: "open", sent: [], call: answer };
  connection.panelReceived = new Signal(connection);
  connection.stateChanged = new Signal(connection);
  const content = { activeCell: null };
  const activeCellChanged = new Signal(content);
  const context = { path: "a.ipynb", localPath: "a.ipynb", pathChanged: new Signal({}) };
  panel = { context, content: { ...content, activeCellChanged } };
  kept = new Map();
  openStorage();
  saved = [];
  const memory = {
    fetch: async (/** @type {string} */ key) => kept.get(key),
    save: async (/** @type {string} */ key, /** @type {string} */ name) => kept.set(key, name),
  };
  chats = new NotebookChats(panel, connection, /** @type {any} */ (memory));
  await chats.show();
  await chats.show("empty");
  await chats.show("default");
});

async function answer(/** @type {string} */ method, /** @type {any} */ args) {
  connection.sent.push({ method, ...args });
  return { chats: args.new_name ? [{ name: args.new_name, num_turns: 1 }] : saved, found: [] };
}

/** Have the kernel say which name the chat has that was opened with one. */
function name(/** @type {string} */ opened, /** @type {string} */ chat) {
  const { panel_id: panel } = connection.sent.find(
    (/** @type {any} */ sent) => sent.chat === opened,
  );
  const message = { type: "patch", patch: { name: chat } };
  connection.panelReceived.emit({ panel, message });
}

test("a chat that was renamed elsewhere goes by its new name", async () => {
  let numChanges = 0;
  chats.changed.connect(() => {
    numChanges += 1;
  });
  name("default", "prices");
  assert.equal(chats.current, "prices");
  assert.deepEqual(chats.names.toSorted(), ["empty", "prices"]);
  assert.ok(numChanges);
  await chats.show("prices");
  const opened = connection.sent.filter((/** @type {any} */ { method }) => method === "show_chat");
  assert.equal(opened.length, 2, "it is opened already");
});

test("a chat that has the name of a deleted one begins without its unsent text", async () => {
  const place = { path: "a.ipynb", cell: null };
  const field = new Unsent(() => place);
  field.follow("default");
  field.keep("How much");
  await chats.delete();
  assert.equal(new Unsent(() => place).follow("default"), "");
});

for (const [when, before, after] of /** @type {[string, string[], string[]][]} */ ([
  ["before the answer", ["empty", "default"], []],
  ["around the answer", ["default"], ["empty"]],
  ["after the answer", [], ["default", "empty"]],
])) {
  test(`a chat and the empty one whose name it gets change names, told ${when}`, async () => {
    const newNames = { default: "empty", empty: "default" };
    const tell = (/** @type {string} */ opened) =>
      name(opened, newNames[/** @type {keyof typeof newNames} */ (opened)]);
    const done = chats.rename("empty");
    before.forEach(tell);
    await done;
    after.forEach(tell);
    assert.equal(chats.current, "empty");
    await chats.save(/** @type {any} */ ({ get: async () => ({ content: [] }), save() {} }));
    assert.equal(connection.sent.at(-1).name, "empty");
    connection.stateChanged.emit("open");
    const [asked, other] = connection.sent.slice(-2);
    assert.deepEqual([asked.chat, other.chat], ["empty", "default"]);
  });
}

test("which chat was shown goes along with a notebook", () => {
  panel.context.path = "folder/b.ipynb";
  panel.context.pathChanged.emit(panel.context.path);
  kept.clear();
  name("default", "prices");
  panel.context.path = "c.ipynb";
  panel.context.pathChanged.emit(panel.context.path);
  const [one, other] = kept;
  assert.deepEqual(one, ["jupyter-llm:chat:folder/b.ipynb", "prices"]);
  assert.deepEqual(other, ["jupyter-llm:chat:c.ipynb", "prices"]);
});

for (const [where, remembered, shown] of /** @type {[string, string, string][]} */ ([
  ["a page that was loaded again", "plans", "plans"],
  ["a second tab", "", "prices"],
  ["a page whose chat is gone", "gone", "prices"],
])) {
  test(`${where} shows the chat in use`, async () => {
    saved = [
      { name: "default", num_turns: 1, when: 1 },
      { name: "prices", num_turns: 1, when: 3 },
      { name: "plans", num_turns: 1, when: 2 },
    ];
    const fetch = async () => remembered || undefined;
    const memory = /** @type {any} */ ({ fetch, save: async () => {} });
    const tab = new NotebookChats(panel, connection, memory);
    await tab.show();
    assert.equal(tab.current, shown);
  });
}

for (const [drive, folder] of /** @type {[string, string][]} */ ([
  ["", ""],
  ["", "work/"],
  ["RTC:", "work/"],
  ["RTC:", ""],
])) {
  test(`a chat of ${drive}${folder}a.ipynb is saved beside it, over no file`, async () => {
    const files = ["a-default.md"].map((name) => ({ name }));
    /** @type {string[]} */
    const done = [];
    const disk = (/** @type {string} */ name) => ({
      name,
      get: async (/** @type {string} */ path) => {
        done.push(`${name} lists ${path}`);
        return { path, content: files };
      },
      save: async (/** @type {string} */ path) => {
        done.push(`${name} saves ${path}`);
        return { path };
      },
      fileChanged: new Signal({}),
    });
    const contents = new ContentsManager({ defaultDrive: /** @type {any} */ (disk("")) });
    contents.addDrive(/** @type {any} */ (disk("RTC")));
    Object.assign(panel.context, {
      path: `${drive}${folder}a.ipynb`,
      localPath: `${folder}a.ipynb`,
    });
    assert.equal(await chats.save(contents), `${drive}${folder}a-default-2.md`);
    const name = drive.slice(0, -1);
    const listed = `${name} lists ${folder.slice(0, -1)}`;
    assert.deepEqual(done, [listed, `${name} saves ${folder}a-default-2.md`]);
  });
}

test("what is to go along with a prompt waits for the chat", async () => {
  /** @type {object[]} */
  const attached = [];
  Object.assign(globalThis, { attached });
  connection.state = "none";
  const waiting = new NotebookChats(panel, connection, null);
  await waiting.attach({ label: "Cell 1", text: "x = 1" });
  connection.state = "open";
  await waiting.show();
  assert.deepEqual(attached, [{ label: "Cell 1", text: "x = 1" }]);
});

test("what a notebook was saved with is shown once the notebook has been read", async () => {
  /** @type {any} */
  let isRead;
  panel.context.ready = new Promise((resolve) => {
    isRead = resolve;
  });
  const unread = new NotebookChats(panel, connection, null);
  const shown = unread.showSaved();
  const said = { metadata: { jupyter_llm_transcript: "a" }, data: { "text/plain": SAID } };
  panel.content.model = { cells: [{ outputs: { length: 1, get: () => said } }] };
  isRead();
  await shown;
  const { parts } = /** @type {any} */ (unread.element);
  assert.equal(parts.length, 1);
});

test("a notebook's outputs say once each what was said in a panel", () => {
  const output = (/** @type {string | undefined} */ panel, /** @type {string} */ text) => ({
    metadata: panel ? { jupyter_llm_transcript: panel } : {},
    data: { "text/plain": text },
  });
  const cell = (/** @type {object[]} */ ...outputs) => ({
    outputs: { length: outputs.length, get: (/** @type {number} */ index) => outputs[index] },
  });
  const said = output("a", SAID);
  const cells = [{}, cell(output(undefined, "1"), said), cell(said, output("b", "An empty chat."))];
  assert.deepEqual(savedChats(cells), [SAID]);
});
