/** What the store makes of messages: what is shown, what is sent, and what it does when some are lost. */

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { merged, pendingOf } from "../lib/kernel/state.js";
import { Store } from "../lib/kernel/store.js";
import { Kernel } from "./kernel.js";
import { CALLS, example } from "./messages.js";

/** @import { Topic } from "../lib/kernel/state.js" */

const CHECK = /** @type {const} */ (["check", CALLS.check.arguments]);
const { document: DOCUMENT } = example("document");
const READING = example("patch-turn-reading").patch.turns[5];
const [GROWING, FAILED] = ["growing", "error"].map((name) => {
  return /** @type {any} */ (Object.values(example(`patch-notice-${name}`).patch.notices)[0]);
});

/** @type {Kernel} */
let kernel;
/** @type {Store} */
let store;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  kernel = new Kernel();
  store = new Store(kernel.model);
});

/**
 * Answer the last greeting with a document.
 *
 * @param {string} [name]
 * @param {object} [changes]
 */
function welcome(name = "document", changes = {}) {
  const { id } = kernel.last("follow");
  const { document } = example(name);
  kernel.say({ type: "document", id, document: { ...document, ...changes } });
  kernel.say({ type: "reply", id, value: null });
}

/** Have a panel that shows the example. */
function ready() {
  store.connect(true);
  welcome("document", { pending: {} });
}

/**
 * Change the chat by a merge patch.
 *
 * @param {object} patch
 */
function change(patch) {
  kernel.say({ type: "patch", patch });
}

/**
 * Begin a turn behind those of the example, which answers a request.
 *
 * @param {object} [changes]
 */
function begin(changes = {}) {
  change({ path: [1, 2, 5], turns: { 5: { ...READING, ...changes } }, pending: {} });
}

/** The ids of the requests that are shown as pending. */
const pendingIds = () => pendingOf(store.state).map(({ id }) => id);

/**
 * Return a list that fills with what listeners are told.
 *
 * @returns {{ changed: Topic[], turns: number[] }[]}
 */
function listen() {
  /** @type {{ changed: Topic[], turns: number[] }[]} */
  const told = [];
  store.subscribe((changed, turns) => told.push({ changed: [...changed], turns: [...turns] }));
  return told;
}

/** Let what was promised happen. */
async function settle() {
  for (let round = 0; round < 5; round += 1) await Promise.resolve();
}

test("a merge patch is applied as RFC 7396 says", () => {
  /** @type {[unknown, unknown, unknown][]} */
  const cases = [
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [
      ["a", "b"],
      ["c", "d"],
      ["c", "d"],
    ],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: "b", c: null }, { a: "b" }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [before, patch, after] of cases) assert.deepEqual(merged(before, patch), after);
});

test("a view says hello and shows the document, which holds no null", () => {
  store.connect(true);
  assert.deepEqual(kernel.last("follow").arguments, { can_write_cells: true });
  assert.equal(store.state.connection, "connecting");
  welcome();
  assert.equal(store.state.connection, "ready");
  assert.deepEqual(store.state.chat, merged({}, DOCUMENT));
  assert.equal(store.state.chat.name, "default");
  assert.doesNotMatch(JSON.stringify(store.state.chat), /:null/);
});

test("views of one model say hello once, and again when one of them can write cells", () => {
  store.connect(false);
  store.connect(false);
  assert.equal(kernel.sent.length, 1);
  store.connect(true);
  store.connect(true);
  store.connect(false);
  assert.deepEqual(
    kernel.sent.map((sent) => sent.arguments.can_write_cells),
    [false, true],
  );
});

test("another view's document is not ours", () => {
  store.connect(true);
  kernel.say(example("document"));
  assert.equal(store.state.connection, "connecting");
});

test("a page without a view says bye and is told nothing until there is one again", async () => {
  ready();
  store.disconnect();
  const { id } = kernel.last("bye");
  kernel.say({ type: "anybody" });
  kernel.say({ type: "reply", value: null, id });
  kernel.lose();
  kernel.say(example("patch-status"));
  await settle();
  mock.timers.tick(10_000);
  assert.equal(kernel.sent.filter(({ method }) => method === "follow").length, 1);
  assert.equal(store.state.waiting, false);
  store.connect(true);
  welcome();
  assert.equal(store.state.connection, "ready");
  assert.equal(kernel.last("follow").arguments.can_write_cells, true);
});

test("a page with a view says hello when another one has said bye", () => {
  ready();
  kernel.say(example("anybody"));
  assert.equal(kernel.sent.filter(({ method }) => method === "follow").length, 2);
});

test("a patch that comes before the document is not shown", () => {
  store.connect(true);
  begin();
  kernel.say(example("delta"));
  assert.deepEqual(store.state.chat.turns, {});
  welcome("document-empty");
  assert.deepEqual(store.state.chat.turns, {});
  assert.equal(kernel.sent.length, 1);
});

test("a turn on its way is read, written, and finished", () => {
  ready();
  begin();
  const turn = () => store.state.chat.turns[5];
  assert.deepEqual(turn()?.progress, { text: "Reading 1200 of 4000 tokens", share: 0.3 });
  kernel.say(example("delta", { text: "It has" }));
  kernel.say(example("delta"));
  assert.equal(turn()?.text, "It has twelve columns.");
  assert.equal(turn()?.state, "writing");
  assert.equal(turn()?.progress, undefined);
  const finished = example("patch-turn").patch.turns[2];
  change({ turns: { 5: { ...finished, number: 5 } } });
  assert.equal(turn()?.state, "finished");
  assert.equal(turn()?.text, finished.text);
});

test("a turn is thought about before it is written", () => {
  ready();
  begin();
  kernel.say(example("delta", { text: "", reasoning: "Twelve" }));
  kernel.say(example("delta", { text: "", reasoning: " columns?" }));
  kernel.say(example("delta", { text: "Yes." }));
  assert.equal(store.state.chat.turns[5]?.reasoning, "Twelve columns?");
  assert.equal(store.state.chat.turns[5]?.text, "Yes.");
});

test("what a listener holds does not change", () => {
  ready();
  const { turns } = store.state.chat;
  const [first, held] = [turns[1], turns[2]];
  kernel.say(example("delta", { number: 2 }));
  change({ turns: { 2: { text: "All." } } });
  assert.equal(held?.text, "`df` has");
  assert.notEqual(store.state.chat.turns[2], held);
  assert.equal(store.state.chat.turns[1], first);
});

test("notices keep their order as they grow, and can be put away", () => {
  ready();
  const notices = () => Object.values(store.state.chat.notices);
  change({ notices: { [GROWING.id]: GROWING, [FAILED.id]: FAILED } });
  change({ notices: { [GROWING.id]: { markdown: "All.", is_finished: true } } });
  assert.deepEqual(
    notices().map(({ id }) => id),
    ["v1-4", "v1-20", "v1-18"],
  );
  assert.equal(notices()[1]?.markdown, "All.");
  change({ notices: { "v1-4": null } });
  assert.deepEqual(
    notices().map(({ id }) => id),
    ["v1-20", "v1-18"],
  );
});

test("loading shows where the request waits", () => {
  ready();
  kernel.say(example("patch-pending"));
  assert.equal(pendingOf(store.state)[0]?.progress?.share, 0.4);
  kernel.say(example("patch-returned"));
  assert.deepEqual(pendingIds(), []);
});

test("what was stopped before it came to anything is given back, and Up finds it", () => {
  ready();
  const text = "Read all of this.";
  const id = store.send(text);
  kernel.say({ type: "reply", value: null, id });
  begin({ request: id });
  change({ path: [1, 2], turns: { 5: null }, returned: { [id]: text } });
  assert.deepEqual(store.state.returned, [{ id, text }]);
  assert.equal(store.history().at(-1), text);
  const again = store.send(text);
  const { length } = store.history();
  change({ returned: { [again]: text } });
  assert.equal(store.history().length, length);
});

test("what could not be sent is given back", async () => {
  ready();
  kernel.isGone = true;
  const id = store.send("Goodbye");
  await settle();
  assert.deepEqual(store.state.returned, [{ id, text: "Goodbye" }]);
  assert.equal(store.history().at(-1), "Goodbye");
});

test("what another kernel knows nothing of is given back, in the order it was sent", () => {
  ready();
  const begun = store.send("Begun?");
  begin({ prompt: "Begun?", request: begun });
  const waiting = store.send("Waiting?");
  kernel.say({ type: "reply", value: null, id: waiting });
  const [unheard, kept] = [store.send("Unheard?"), store.send("Kept?")];
  kernel.restart();
  const late = store.send("Late?");
  const again = { ...READING, number: 9, prompt: "Kept?", request: null };
  const turns = { ...DOCUMENT.turns, 9: again };
  welcome("document", { turns, path: [1, 2, 9], pending: {}, kernel: "another" });
  assert.deepEqual(
    store.state.returned.map(({ id }) => id),
    [begun, waiting, unheard],
  );
  assert.deepEqual(pendingIds(), [late]);
  assert.notEqual(kept, late);
});

test("what the same kernel goes on with is found by Up and by nobody else", () => {
  ready();
  const taken = store.send("Taken?");
  kernel.say({ type: "reply", value: null, id: taken });
  const unheard = store.send("Unheard?");
  kernel.restart();
  welcome("document", { pending: {} });
  assert.deepEqual(
    store.state.returned.map(({ id, text }) => [id === taken, id === unheard, text]),
    [
      [false, false, "Taken?"],
      [false, true, "Unheard?"],
    ],
  );
});

test("what is still written on another line is not given back", () => {
  ready();
  const id = store.send("And how many columns?");
  begin({ request: id });
  kernel.restart();
  const turns = { ...DOCUMENT.turns, 5: { ...READING, request: id } };
  welcome("document", { turns, path: [1, 2, 5], pending: {} });
  assert.deepEqual(store.state.returned, []);
});

test("a question that another kernel was asked fails, and a draft is over", async () => {
  ready();
  const drafted = store.draft("How m");
  const reply = store.call(...CHECK);
  kernel.restart();
  welcome();
  await drafted;
  await assert.rejects(reply, { message: "The kernel that was asked is gone. Try again." });
  assert.equal(store.state.error, null);
});

test("status and transcript are what was told last", () => {
  ready();
  change({ status: { used: 7 } });
  kernel.say(example("transcript", { writer: kernel.last("follow").id }));
  assert.equal(store.state.chat.status.used, 7);
  assert.deepEqual(store.state.transcript?.data, example("transcript").data);
  assert.deepEqual(store.state.transcript?.metadata, example("transcript").metadata);
});

test("what is sent is what the kernel reads, and is pending at once", () => {
  ready();
  const { prompt, ...options } = CALLS.send.arguments;
  const { text, attachments } = prompt;
  const id = store.send(text, { attachments, ...options });
  assert.deepEqual(kernel.last("send").arguments, CALLS.send.arguments);
  assert.deepEqual(pendingIds(), [id]);
  kernel.say({ type: "reply", value: null, id });
  assert.deepEqual(pendingIds(), [id], "the chat does not hold it yet");
  change({ pending: { [id]: { id, text } } });
  assert.deepEqual(pendingIds(), [id]);
  begin({ request: id });
  change({ pending: { [id]: null } });
  assert.deepEqual(pendingIds(), []);
});

test("every order is what the kernel reads", () => {
  ready();
  /** @type {[string, () => unknown][]} */
  const orders = [
    ["regenerate", () => store.regenerate(2, { seed: 7, temperature: 0.5 })],
    ["stop", () => store.stop(2)],
    ["choose", () => store.choose(1)],
    ["remove", () => store.remove("v1-4")],
    ["bye", () => store.disconnect()],
  ];
  for (const [method, order] of orders) {
    order();
    const { id, ...sent } = kernel.sent.at(-1);
    assert.deepEqual(sent, { type: "call", method, arguments: CALLS[method].arguments });
  }
  assert.equal(new Set(kernel.sent.map(({ id }) => id)).size, kernel.sent.length);
});

test("a question is answered by the reply with its id", async () => {
  ready();
  const reply = store.call(...CHECK);
  kernel.say({ type: "ack", id: reply.id });
  kernel.say(example("reply", { id: "another-1", value: [] }));
  kernel.say(example("reply", { id: reply.id, value: CALLS.check.value }));
  assert.deepEqual(await reply, CALLS.check.value);
});

test("a question fails with what the kernel says, and the panel stays quiet", async () => {
  ready();
  const reply = store.call(...CHECK);
  kernel.say({ type: "error", id: reply.id, text: "No." });
  await assert.rejects(reply, { message: "No." });
  assert.equal(store.state.error, null);
});

test("an order that fails is shown until the next prompt", async () => {
  ready();
  store.remove(9);
  const { id } = kernel.last("remove");
  kernel.say(example("error", { id }));
  await settle();
  assert.deepEqual(store.state.error, { text: "There is no turn 9 in this chat." });
  store.send("Hello");
  assert.equal(store.state.error, null);
});

test("another view's error is not shown, nobody's is", () => {
  ready();
  kernel.say(example("error"));
  assert.equal(store.state.error, null);
  kernel.say(example("error", { id: null, text: "The disk is full." }));
  assert.deepEqual(store.state.error, { text: "The disk is full." });
});

test("without a kernel a prompt says so and does not stay pending", async () => {
  ready();
  kernel.isGone = true;
  store.send("Hello");
  await settle();
  assert.deepEqual(pendingIds(), []);
  assert.match(store.state.error?.text ?? "", /kernel .* is gone/);
});

test("a greeting that waits for the cell is followed by others, but not for ever", () => {
  store.connect(true);
  const greetings = () => kernel.sent.filter(({ method }) => method === "follow").length;
  mock.timers.tick(500);
  assert.equal(greetings(), 2);
  for (let round = 0; round < 10; round += 1) mock.timers.tick(60_000);
  assert.equal(greetings(), 6);
  welcome();
  assert.equal(store.state.waiting, false);
});

test("an answered greeting is the last one", () => {
  ready();
  mock.timers.tick(60_000);
  assert.equal(kernel.sent.filter(({ method }) => method === "follow").length, 1);
});

test("that the kernel has gone is said without being asked", async () => {
  ready();
  kernel.die();
  await settle();
  assert.match(store.state.error?.text ?? "", /kernel .* is gone/);
});

test("what the kernel does not take in for 400 ms waits, until it does", () => {
  ready();
  store.send("Hello");
  mock.timers.tick(399);
  assert.equal(store.state.waiting, false);
  mock.timers.tick(1);
  assert.equal(store.state.waiting, true);
  kernel.say({ type: "reply", value: null, id: kernel.last("send").id });
  assert.equal(store.state.waiting, false);
  mock.timers.tick(10_000);
  assert.equal(store.state.waiting, false);
});

test("of all pages only the one that the kernel names writes the transcript", () => {
  ready();
  kernel.say(example("transcript", { writer: "other-1" }));
  assert.equal(store.state.transcript, null);
  kernel.say(example("transcript", { writer: kernel.last("follow").id }));
  assert.notEqual(store.state.transcript, null);
});

test("in a shared notebook Escape stops only what this page asked", () => {
  store.connect(true);
  welcome("document", { pending: { "other-1": { id: "other-1", text: "Theirs" } } });
  assert.equal(store.stopOwn(true), false);
  const own = store.send("Mine");
  assert.equal(store.stopOwn(true), true);
  const targets = () =>
    kernel.sent.filter(({ method }) => method === "stop").map((sent) => sent.arguments.target);
  assert.deepEqual(targets(), [own]);
  store.stopOwn(false);
  assert.deepEqual(targets(), [own, null]);
});

test("a panel that was restored without its kernel says so, and nothing waits", async () => {
  const get = (/** @type {string} */ name) => name === "layout" && { comm_live: false };
  const restored = new Store({ ...kernel.model, get: /** @type {any} */ (get) });
  restored.connect(true);
  await settle();
  mock.timers.tick(60_000);
  assert.equal(restored.state.connection, "failed");
  assert.match(restored.state.error?.text ?? "", /Run its cell again/);
  assert.equal(restored.state.waiting, false);
  assert.deepEqual(kernel.sent, []);
});

test("what is taken in at once never waits", () => {
  ready();
  store.stop(null);
  kernel.say({ type: "reply", value: null, id: kernel.last("stop").id });
  mock.timers.tick(10_000);
  assert.equal(store.state.waiting, false);
});

for (const [what, cause] of /** @type {[string, () => void][]} */ ([
  [
    "a missing message",
    () => {
      kernel.lose();
      kernel.say(example("delta", { number: 2 }));
    },
  ],
  ["text of an unknown turn", () => kernel.say(example("delta", { number: 77 }))],
])) {
  test(`${what} makes the view say hello once more, once`, () => {
    ready();
    cause();
    cause();
    assert.equal(kernel.sent.filter(({ method }) => method === "follow").length, 2);
    assert.equal(store.state.chat.turns[2]?.text, "`df` has");
    welcome("document-empty");
    assert.deepEqual(store.state.chat.turns, {});
    begin();
    assert.equal(store.state.chat.turns[5]?.prompt, "And how many columns?");
  });
}

test("a document that is lost itself is asked for again", () => {
  ready();
  kernel.lose();
  kernel.say(example("patch-status"));
  kernel.lose(); // the document
  kernel.say(example("patch-status"));
  mock.timers.tick(2000);
  assert.equal(kernel.sent.filter(({ method }) => method === "follow").length, 3);
  welcome();
  mock.timers.tick(10_000);
  assert.equal(kernel.sent.filter(({ method }) => method === "follow").length, 3);
});

test("a prompt that the kernel did not know of yet stays pending after a document", () => {
  ready();
  const early = store.send("early");
  kernel.lose(); // its reply
  kernel.say(example("patch-status"));
  const late = store.send("late");
  welcome("document-empty");
  assert.deepEqual(pendingIds(), [late]);
  assert.notEqual(early, late);
  mock.timers.tick(399);
  kernel.say({ type: "reply", value: null, id: late });
  mock.timers.tick(10_000);
  assert.equal(store.state.waiting, false);
});

test("listeners hear of many changes at once, and of none twice", () => {
  ready();
  mock.timers.tick(1000);
  const told = listen();
  kernel.say(example("delta", { number: 2 }));
  kernel.say(example("delta", { number: 2 }));
  kernel.say(example("patch-status"));
  assert.deepEqual(told, []);
  mock.timers.tick(1000);
  assert.deepEqual(told, [{ changed: ["turns", "status"], turns: [2] }]);
  mock.timers.tick(1000);
  assert.equal(told.length, 1);
});

test("a listener is told of turns that are gone", () => {
  ready();
  mock.timers.tick(1000);
  const told = listen();
  change({ path: [1], turns: { 2: null } });
  mock.timers.tick(1000);
  assert.deepEqual(told, [{ changed: ["path", "turns"], turns: [2] }]);
});

test("frames come first where there are some", () => {
  ready();
  mock.timers.tick(1000);
  /** @type {(() => void)[]} */
  const frames = [];
  globalThis.requestAnimationFrame = (callback) => frames.push(() => callback(0));
  globalThis.cancelAnimationFrame = () => {};
  try {
    const told = listen();
    kernel.say(example("patch-status"));
    kernel.say(example("patch-status"));
    assert.equal(frames.length, 1);
    frames[0]?.();
    mock.timers.tick(1000);
    assert.equal(told.length, 1);
  } finally {
    Reflect.deleteProperty(globalThis, "requestAnimationFrame");
    Reflect.deleteProperty(globalThis, "cancelAnimationFrame");
  }
});

test("one who does not listen any more is told nothing", () => {
  ready();
  mock.timers.tick(1000);
  /** @type {unknown[]} */
  const told = [];
  store.subscribe((changed) => told.push(changed))();
  kernel.say(example("patch-status"));
  mock.timers.tick(1000);
  assert.deepEqual(told, []);
});

test("earlier prompts come in the order of the conversation, no prompt twice running", () => {
  ready();
  assert.deepEqual(store.history(), ["Hello", "How many rows does df have?", "/fix 3"]);
  store.send("/fix 3");
  store.send("Thanks");
  assert.deepEqual(store.history(), ["Hello", "How many rows does df have?", "/fix 3", "Thanks"]);
});

test("nobody is told of a draft that waits or fails", async () => {
  ready();
  const told = store.draft("How m", { isAlone: true });
  const { id, arguments: draft } = kernel.last("draft");
  const prompt = { text: "How m", attachments: [], is_alone: true };
  assert.deepEqual(draft, { prompt, cell: null });
  mock.timers.tick(10_000);
  assert.equal(store.state.waiting, false);
  kernel.say({ type: "error", id, text: "No." });
  await told;
  assert.equal(store.state.error, null);
});

test("a store that is done with hears nothing and gives up what it waits for", async () => {
  ready();
  const reply = store.call(...CHECK);
  store.dispose();
  assert.equal(kernel.isHeard, false);
  await assert.rejects(reply);
  mock.timers.tick(10_000);
  assert.equal(store.state.waiting, false);
});

test("a call whose reply was lost fails, and no later one", async () => {
  ready();
  const lost = store.call("list_models", {});
  kernel.lose(); // the reply
  kernel.say(example("patch-status"));
  const later = store.call("suggest", { ...CALLS.suggest.arguments });
  welcome();
  await assert.rejects(lost, { message: "The reply of the kernel was lost. Try again." });
  kernel.say({ type: "reply", id: later.id, value: { start: 0, end: 2, items: [] } });
  assert.deepEqual((await later).items, []);
});

test("a store that is done with gives back no prompt that was answered", async () => {
  ready();
  kernel.say({ type: "reply", id: store.send("And how many rows?"), value: null });
  const id = store.send("And how many columns?");
  kernel.lose(); // the reply
  kernel.say(example("patch-status"));
  const turns = { ...DOCUMENT.turns, 5: { ...READING, request: id } };
  welcome("document", { turns, path: [1, 2, 5] });
  store.dispose();
  await settle();
  assert.equal(store.state.error, null);
  assert.deepEqual(store.state.returned, []);
});
