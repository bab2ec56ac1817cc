/** One action on one cell, with a kernel that answers as it is told. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { fitOf, Task } from "../lib/actions/task.js";
import { Requests } from "../lib/connection/requests.js";

/** @import { Message, MessageOf, Request } from "../lib/connection/messages.js" */

/** @type {import("../lib/actions/task.js").Target} */
const TARGET = { cell: { id: "c1", source: "x = 1", error: null, kind: "code" }, selection: null };
/** @type {Omit<MessageOf<"proposal">, "type" | "id">} */
const PROPOSAL = {
  cell: "c1",
  before: "x = 1",
  source: "x = 2",
  is_below: false,
  unknown_names: [],
  metadata: {},
  markdown: "",
};

/** Takes requests as a connection does, and notes them. */
class Kernel {
  /** @type {Request[]} */
  asked = [];
  #requests = new Requests("page", () => {});

  /**
   * @param {Request} request
   * @param {(message: Message) => void} [onNews]
   */
  request(request, onNews) {
    this.asked.push(request);
    return this.#requests.post(request, onNews);
  }

  /** @param {Message} message */
  async say(message) {
    this.#requests.take(message);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** @type {Kernel} */
let kernel;
/** @type {string[]} */
let seen;
/** @type {Task} */
let task;

beforeEach(() => {
  kernel = new Kernel();
  seen = [];
  task = new Task(kernel, "fix", TARGET, () => seen.push(task.state.kind));
});

test("what is asked is about the cell as it was then", () => {
  task.begin("shorter");
  const act = { type: "act", action: "fix", ...TARGET, instruction: "shorter", former: null };
  assert.deepEqual(kernel.asked, [act]);
});

test("progress comes before a proposal", async () => {
  task.begin();
  const progress = { text: "Reading", share: 0.5 };
  await kernel.say({ type: "ack", id: "page-1" });
  /** @type {Omit<MessageOf<"progress">, "text" | "is_new">} */
  const news = { type: "progress", number: null, id: "page-1", progress };
  for (const [text, is_new, told] of /** @type {[string, boolean, string][]} */ ([
    ["no", true, "no"],
    ["so", true, "so"],
    [" far", false, "so far"],
  ])) {
    await kernel.say({ ...news, text, is_new });
    assert.deepEqual(task.state, { kind: "working", progress, text: told });
  }
  await kernel.say({ type: "proposal", id: "page-1", ...PROPOSAL });
  assert.equal(task.state.kind, "proposal");
  assert.deepEqual(seen, ["working", "working", "working", "working", "proposal"]);
});

test("what fails says why", async () => {
  task.begin();
  await kernel.say({ type: "error", id: "page-1", text: "Nothing to fix." });
  assert.deepEqual(task.state, { kind: "failed", reason: "Nothing to fix." });
});

test("what is ended is cancelled, and what comes of it later is nobody's", async () => {
  task.begin();
  task.end();
  assert.deepEqual(kernel.asked.at(-1), { type: "stop", target: "page-1" });
  await kernel.say({ type: "proposal", id: "page-1", ...PROPOSAL });
  await kernel.say({
    type: "progress",
    number: null,
    id: "page-1",
    progress: { text: "", share: null },
    text: "",
    is_new: false,
  });
  assert.equal(task.state.kind, "over");
});

test("what is done is not cancelled", async () => {
  task.begin();
  await kernel.say({ type: "proposal", id: "page-1", ...PROPOSAL });
  task.end();
  assert.equal(kernel.asked.length, 1);
});

test("a proposal fits only the cell that it was made for", () => {
  assert.equal(fitOf(PROPOSAL, "x = 1", true), "fits");
  assert.equal(fitOf(PROPOSAL, "x = 1 ", true), "edited");
  assert.equal(fitOf(PROPOSAL, "x = 1", false), "closed");
  assert.equal(fitOf({ ...PROPOSAL, is_below: true }, "x = 3", true), "below");
});
