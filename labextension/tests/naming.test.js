/** New chats and the files that chats are saved in have names that nothing else has. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { exportName, freeChatName } from "../lib/sidebar/naming.js";

test("a new chat has the first free number", () => {
  assert.equal(freeChatName(["default"]), "chat 2");
  assert.equal(freeChatName(["default", "chat 3", "chat 2"]), "chat 4");
});

test("a file is named after the notebook and the chat", () => {
  assert.equal(exportName("work/Prices.ipynb", "default", []), "Prices-default.md");
  assert.equal(exportName("a.ipynb", "../été: 1/2", []), "a-été-1-2.md");
  assert.equal(exportName("a.ipynb", "?!", []), "a-chat.md");
});

test("no file is overwritten", () => {
  const files = ["a-default.md", "a-default-2.md"];
  assert.equal(exportName("a.ipynb", "default", files), "a-default-3.md");
});

test("no file is overwritten where a disk takes names for the same that are written otherwise", () => {
  assert.equal(exportName("a.ipynb", "Data", ["a-data.md"]), "a-Data-2.md");
  assert.equal(exportName("a.ipynb", "été", ["a-été.md".normalize("NFD")]), "a-été-2.md");
});
