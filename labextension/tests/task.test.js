/** One action on one cell, with a kernel that answers as it is told. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Task } from "../lib/actions/task.js";
import { Requests } from "../lib/connection/requests.js";

/** @import { Change, Message, MessageOf } from "../lib/connection/messages.js" */

/** @type {import("../lib/actions/task.js").Target} */
const TARGET = { cell: { id: "c1", source: "x = 1", error: null, kind: "code" }, selection: null };
/** @type {Change} */
const PROPOSAL = {
  ...{ cell: "c1", before: "x = 1", source: "x = 2", unknown_names: [], runs: [] },
  metadata: {},
  markdown: "",
};

/** Takes calls as a connection does, and notes them. */
class Kernel {
  /** @type {any[]} */
  asked = [];
  #requests = new Requests("page", () => {});

  /** @type {Requests["call"]} */
  call = (method, args, onNews) => {
    this.asked.push([method, args]);
    return this.#requests.call(method, args, onNews);
  };

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
  const act = { action: "fix", ...TARGET, instruction: "shorter", task: task.id, former: null };
  assert.deepEqual(kernel.asked, [["act", act]]);
});

test("progress comes before a proposal", async () => {
  task.begin();
  const progress = { text: "Reading", share: 0.5 };
  await kernel.say({ type: "ack", id: "page-1" });
  /** @type {Omit<MessageOf<"progress">, "text" | "is_new">} */
  const news = { type: "progress", id: "page-1", progress };
  for (const [text, is_new, told] of /** @type {[string, boolean, string][]} */ ([
    ["no", true, "no"],
    ["so", true, "so"],
    [" far", false, "so far"],
  ])) {
    await kernel.say({ ...news, text, is_new });
    assert.deepEqual(task.state, { kind: "working", progress, text: told });
  }
  await kernel.say({ type: "reply", id: "page-1", value: PROPOSAL });
  assert.equal(task.state.kind, "proposal");
  assert.deepEqual(seen, ["working", "working", "working", "working", "proposal"]);
});

test("what fails says why", async () => {
  task.begin();
  await kernel.say({ type: "error", id: "page-1", text: "Nothing to fix." });
  assert.deepEqual(task.state, { kind: "failed", reason: "Nothing to fix." });
  assert.ok(!task.isUndecided);
});

test("what is ended is cancelled, and what comes of it later is nobody's", async () => {
  task.begin();
  task.end();
  const waits = ["keep_proposal", { task: task.id, waiting: null, is_accepted: false }];
  assert.deepEqual(kernel.asked.slice(1), [["stop", { target: "page-1" }], waits]);
  await kernel.say({ type: "reply", id: "page-1", value: PROPOSAL });
  await kernel.say({
    type: "progress",
    id: "page-1",
    progress: { text: "", share: null },
    text: "",
    is_new: false,
  });
  assert.equal(task.state.kind, "over");
});

/** @param {Partial<import("../lib/connection/messages.js").Proposal>} [changes] */
async function propose(changes = {}) {
  const id = `page-${kernel.asked.length}`;
  await kernel.say({ type: "reply", id, value: { ...PROPOSAL, ...changes } });
}

test("what is done is not cancelled", async () => {
  task.begin();
  await propose();
  task.end();
  assert.ok(kernel.asked.every(([method]) => method !== "stop"));
});

test("a proposal goes on after a reload, with what was rejected, until somebody decides", async () => {
  const [before, source] = ["a\nb\nc\nd\ne", "A\nb\nC\nd\nE"];
  task.begin("capitals");
  await propose({ before, source });
  task.allow("A\nb\nc\nd\ne");
  task.narrow("A\nb\nC\nd\ne");
  const [, { waiting }] = kernel.asked.at(-1);
  task.leave(); // the page goes
  assert.deepEqual(kernel.asked.at(-1)[1].waiting, waiting);
  const later = new Task(kernel, waiting.action, TARGET, () => {}, task.id);
  later.resume(waiting);
  assert.equal(later.fit("A\nb\nc\nd\ne", true), "fits");
  assert.equal(later.state.kind === "proposal" && later.state.proposal.source, "A\nb\nC\nd\ne");
  later.again("A\nb\nc\nd\ne");
  const { instruction, former } = kernel.asked.at(-1)[1];
  assert.deepEqual([instruction, former.count], ["capitals", 1]);
  later.end();
  assert.deepEqual(kernel.asked.at(-1)[1], { task: task.id, waiting: null, is_accepted: false });
});

test("a proposal fits only the cell that it was made for", async () => {
  task.begin();
  await propose();
  assert.equal(task.fit("x = 1", true), "fits");
  assert.equal(task.fit("x = 1 \n", true), "fits", "but for blanks at the end");
  assert.equal(task.fit("x = 0", true), "edited");
  assert.equal(task.fit("x = 1", false), "closed");
  task.again("x = 1");
  await propose({ before: null });
  assert.equal(task.fit("x = 3", true), "below");
});

test("what comes next is asked for with what was proposed before", async () => {
  task.begin("shorter");
  await propose();
  task.again("x = 1");
  await propose({ source: "x = 3" });
  task.again("x = 0", "as a list");
  const formers = kernel.asked.map(([, { former }]) => former);
  assert.deepEqual(formers, [
    null,
    { source: "x = 2", wish: "", count: 1, language: "python", has_heeded: false },
    { source: "x = 3", wish: "as a list", count: 2, language: "python", has_heeded: false },
  ]);
  const [[, first], , [, last]] = kernel.asked;
  assert.equal(last.instruction, "shorter");
  assert.deepEqual([first.cell.source, last.cell.source], ["x = 1", "x = 0"]);
});

test("another proposal heeds the wish that was said last", async () => {
  task.begin();
  await propose();
  task.again("x = 1", "as a list");
  await propose({ source: "x = [2]" });
  task.again("x = 1");
  const [, last] = kernel.asked.at(-1);
  const former = { source: "x = 2", wish: "as a list", count: 2, language: "python" };
  assert.deepEqual(last.former, { ...former, has_heeded: true });
});

test("the words of an explanation stay when it is stopped", async () => {
  const explained = new Task(kernel, "explain", TARGET, () => {});
  explained.begin();
  const progress = { text: "Writing", share: null };
  const news = {
    type: /** @type {const} */ ("progress"),
    id: "page-1",
    number: null,
    is_new: true,
  };
  await kernel.say({ ...news, progress, text: "It adds" });
  assert.ok(explained.stop());
  assert.deepEqual(explained.state, { kind: "answer", answer: "It adds" });
  assert.ok(!explained.stop());
});

test("what was proposed is there again when nothing comes of another", async () => {
  task.begin();
  await propose();
  task.again("x = 1");
  assert.ok(task.isUndecided, "another action does not drop it");
  assert.ok(task.stop());
  assert.deepEqual(kernel.asked.at(-1), ["stop", { target: "page-2" }]);
  await kernel.say({ type: "error", id: "page-2", text: "Stopped." });
  task.again("x = 1", "otherwise");
  await kernel.say({ type: "error", id: "page-4", text: "No code." });
  assert.deepEqual(task.state, { kind: "proposal", proposal: PROPOSAL, problem: "No code." });
  assert.ok(!task.stop());
});

test("changes are accepted and refused one by one, and what is left stays proposed", async () => {
  const [before, source] = ["a\nb\nc\nd\ne", "A\nb\nC\nd\nE"];
  task.begin();
  await propose({ before, source });
  task.allow("A\nb\nc\nd\ne");
  assert.equal(task.fit("A\nb\nc\nd\ne", true), "fits");
  assert.equal(task.fit(before, true), "fits"); // once that is undone
  task.narrow("A\nb\nC\nd\ne");
  assert.equal(task.state.kind === "proposal" && task.state.proposal.source, "A\nb\nC\nd\ne");
});
