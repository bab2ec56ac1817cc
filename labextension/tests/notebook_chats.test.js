/** The chats of a notebook go by the names that they have in the kernel, whoever gave them. */

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { pathToFileURL } from "node:url";
import { PageConfig } from "@jupyterlab/coreutils";
import { Signal } from "@lumino/signaling";
import { moveChosen, NotebookChats } from "../lib/sidebar/notebook_chats.js";
import { savedChats } from "../lib/sidebar/saved_chats.js";
import { example } from "./messages.js";

const WIDGET = "module.exports = () => ({ initialize: () => () => {}, render: () => () => {} });";

const folder = mkdtempSync(join(tmpdir(), "chats-"));
mkdirSync(join(folder, "jupyter-llm/static"), { recursive: true });
writeFileSync(join(folder, "jupyter-llm/static/chat_panel.js"), WIDGET);
PageConfig.setOption("fullLabextensionsUrl", pathToFileURL(folder).href);
after(() => rmSync(folder, { recursive: true }));

/** Stands for any element; what is appended has been fetched at once. */
class FakeElement {
  append = (/** @type {any} */ part) => part.onload?.();
  remove() {}
}

/** @type {any} */
let connection;
/** @type {NotebookChats} */
let chats;

beforeEach(async () => {
  const document = { createElement: () => new FakeElement(), head: new FakeElement() };
  Object.assign(globalThis, { document });
  connection = { state: "open", sent: [], request: answer };
  connection.panelReceived = new Signal(connection);
  connection.stateChanged = new Signal(connection);
  const content = { activeCell: null };
  const activeCellChanged = new Signal(content);
  const panel = { context: { path: "a.ipynb" }, content: { ...content, activeCellChanged } };
  const trans = { __: String };
  const parts = /** @type {[any, any, any, any]} */ ([panel, connection, null, trans]);
  chats = new NotebookChats(...parts);
  await chats.show();
  await chats.show("empty");
  await chats.show("default");
});

function answer(/** @type {any} */ request) {
  connection.sent.push(request);
  const saved = [{ name: request.new_name, num_turns: 1 }];
  return { id: "1", reply: Promise.resolve({ type: "chats", id: "1", chats: saved }) };
}

/** Have the kernel say which name the chat has that was opened with one. */
function name(/** @type {string} */ opened, /** @type {string} */ chat) {
  const { panel_id: panel } = connection.sent.find(
    (/** @type {any} */ sent) => sent.chat === opened,
  );
  const message = example("snapshot-for-all", { chat });
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
  assert.equal(connection.sent.length, 2, "it is opened already");
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
    await chats.export();
    assert.equal(connection.sent.at(-1).name, "empty");
    connection.stateChanged.emit("open");
    const [asked, other] = connection.sent.slice(-2);
    assert.deepEqual([asked.chat, other.chat], ["empty", "default"]);
  });
}

test("which chat was shown goes along with a notebook, alone or in its folder", async () => {
  const kept = new Map([
    ["jupyter-llm:chat:a/b.ipynb", "prices"],
    ["jupyter-llm:chat:a/b.ipynb2", "other"],
    ["jupyter-llm:chat:ab/c.ipynb", "default 2"],
  ]);
  const memory = /** @type {any} */ ({
    list: async () => ({ ids: [...kept.keys()], values: [...kept.values()] }),
    remove: async (/** @type {string} */ id) => kept.delete(id),
    save: async (/** @type {string} */ id, /** @type {string} */ name) => kept.set(id, name),
  });
  await moveChosen(memory, "a/b.ipynb", "a/c.ipynb");
  await moveChosen(memory, "a", "d");
  assert.deepEqual(Object.fromEntries(kept), {
    "jupyter-llm:chat:d/c.ipynb": "prices",
    "jupyter-llm:chat:d/b.ipynb2": "other",
    "jupyter-llm:chat:ab/c.ipynb": "default 2",
  });
});

test("a notebook's outputs say once each what was said in a panel", () => {
  const output = (/** @type {string | undefined} */ panel, /** @type {string} */ text) => ({
    metadata: panel ? { jupyter_llm_transcript: panel } : {},
    data: { "text/plain": text },
  });
  const cell = (/** @type {object[]} */ ...outputs) => ({
    outputs: { length: outputs.length, get: (/** @type {number} */ index) => outputs[index] },
  });
  const said = output("a", "> Who?\n\n* * *\n\nMe.");
  const cells = [{}, cell(output(undefined, "1"), said), cell(said, output("b", "An empty chat."))];
  assert.deepEqual(savedChats(cells), [["> Who?", "Me."]]);
});
