/** A notebook's connection to its kernel: when there is one, and what ends it. */

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { Connection } from "../lib/connection/connection.js";
import { PROTOCOL } from "../lib/connection/messages.js";
import { speak } from "../lib/dom/words.js";
import { JupyterKernel, Notebook, openPage, settle, until } from "./jupyter.js";

/** @type {JupyterKernel} */
let kernel;
/** @type {Notebook} */
let notebook;

beforeEach(() => {
  mock.reset();
  mock.method(console, "debug", () => {}); // Jupyter tells there what it does
  mock.method(console, "warn", () => {});
  mock.timers.enable({ apis: ["setTimeout"] });
  speak({ __: (text) => `«${text}»`, _n: (one) => `«${one}»` });
  openPage();
  kernel = new JupyterKernel();
  notebook = new Notebook(kernel.connect());
});

function connect() {
  return new Connection(/** @type {any} */ (notebook));
}

async function connected() {
  const connection = connect();
  await until(() => connection.state === "open");
  return connection;
}

/** @param {Connection} connection */
function listen(connection) {
  /** @type {string[]} */
  const states = [];
  connection.stateChanged.connect((_, state) => void states.push(state));
  return states;
}

/** The kinds of messages that a kernel was sent. */
function kinds() {
  return kernel.taken.map(({ type, channel }) => `${channel} ${type}`);
}

test("a kernel with jupyter_llm is told who comes, on one comm with a subshell of its own", async () => {
  const connection = await connected();
  assert.deepEqual(kinds(), [
    "control comm_info_request",
    "shell comm_info_request",
    "control create_subshell_request",
    "shell comm_open",
    "shell comm_msg",
  ]);
  assert.equal(kernel.taken.at(-1)?.subshell, "subshell-1");
  const { id: _, ...hello } = kernel.told()[0];
  const { client } = connection;
  const path = notebook.localPath;
  assert.deepEqual(hello, { method: "hello", protocol: PROTOCOL, client, path });
  assert.equal(connection.kernelVersion, "1.2.3");
});

test("a call is answered by the reply with its id", async () => {
  const connection = await connected();
  const reply = connection.call("list_chats", { words: "" });
  await until(() => kernel.told("list_chats").length === 1);
  kernel.say({ type: "reply", id: "another", value: { chats: [1], found: [] } });
  kernel.say({ type: "ack", id: reply.id });
  kernel.say({ type: "reply", id: reply.id, value: { chats: [], found: [] } });
  assert.deepEqual(await reply, { chats: [], found: [] });
});

test("a kernel without jupyter_llm is asked whether it is there, and nothing else", async () => {
  kernel.isLoaded = false;
  const connection = connect();
  await until(() => connection.state === "absent");
  await settle();
  assert.deepEqual(kinds(), ["control comm_info_request", "shell comm_info_request"]);
});

test("jupyter_llm that comes and goes in a kernel is noticed", async () => {
  kernel.isLoaded = false;
  const connection = connect();
  await until(() => connection.state === "absent");
  kernel.load();
  await until(() => connection.state === "open");
  kernel.load(false);
  await until(() => connection.state === "absent");
});

test("jupyter_llm is loaded where that is asked for", async () => {
  kernel.isLoaded = false;
  const connection = connect();
  await until(() => connection.state === "absent");
  await connection.load();
  assert.equal(connection.state, "open");
  assert.equal(kernel.comms.size, 1);
});

test("why jupyter_llm cannot be loaded is what the kernel says", async () => {
  kernel.isLoaded = false;
  kernel.failure = "No module named 'jupyter_llm'";
  const connection = connect();
  await until(() => connection.state === "absent");
  await assert.rejects(connection.load(), { message: kernel.failure });
});

test("jupyter_llm is loaded though a failed cell took the first attempts along", async () => {
  kernel.isLoaded = false;
  kernel.numAborted = 2;
  const connection = connect();
  await until(() => connection.state === "absent");
  await connection.load();
  assert.equal(connection.state, "open");
});

test("loading that is dropped with its kernel says that the kernel was lost", async () => {
  kernel.isLoaded = false;
  kernel.numAborted = Number.POSITIVE_INFINITY;
  const connection = connect();
  await until(() => connection.state === "absent");
  const loading = connection.load();
  notebook.change(null);
  await assert.rejects(loading, /«The connection to the kernel was lost/);
});

test("a kernel of another language is told nothing at all", async () => {
  kernel.language = "R";
  const connection = connect();
  await until(() => connection.state === "foreign");
  await settle();
  assert.deepEqual(kinds(), []);
});

test("a kernel that speaks another protocol is not asked for anything, and its version is known", async () => {
  kernel.welcome.protocol = PROTOCOL + 1;
  kernel.welcome.version = "9.0.0";
  const connection = connect();
  await until(() => connection.state === "differs");
  assert.equal(connection.kernelVersion, "9.0.0");
  await assert.rejects(
    connection.call("list_chats", { words: "" }),
    /«The kernel is not connected/,
  );
  assert.deepEqual(kernel.told("list_chats"), []);
});

test("a kernel that does not understand a hello differs", async () => {
  kernel.welcome = { type: "error", text: "Nobody here takes such a message." };
  const connection = connect();
  await until(() => connection.state === "differs");
  assert.equal(connection.kernelVersion, null);
});

test("a message that is lost on the way makes the page come anew, and what is open fails", async () => {
  const connection = await connected();
  const reply = connection.call("list_chats", { words: "" });
  const states = listen(connection);
  kernel.lose();
  kernel.say({ type: "model", model: null });
  await assert.rejects(reply, /«The connection to the kernel was lost/);
  await until(() => connection.state === "open");
  assert.deepEqual(states, ["none", "open"]);
  assert.equal(kernel.told("hello").length, 2);
  assert.equal(kernel.comms.size, 1);
});

for (const [what, end] of /** @type {[string, () => unknown][]} */ ([
  ["a restart", () => notebook.sessionContext.session.kernel.restart()],
  ["a kernel that died and was started again", () => kernel.die()],
])) {
  test(`after ${what} what was asked fails, and once it is loaded the same client comes`, async () => {
    const connection = await connected();
    const reply = connection.call("list_chats", { words: "" });
    end();
    await assert.rejects(reply, /«The connection to the kernel was lost/);
    await until(() => connection.state === "absent");
    kernel.load();
    await until(() => connection.state === "open");
    const hellos = kernel.told("hello").map(({ client, path }) => ({ client, path }));
    assert.deepEqual(hellos[1], hellos[0]);
    assert.equal(kernel.comms.size, 1);
    assert.equal(kernel.subshells.size, 1);
  });
}

test("a kernel is not connected from the moment that it is restarted", async () => {
  const connection = await connected();
  notebook.sessionContext.session.kernel.restart();
  assert.equal(connection.state, "none");
});

test("a kernel that is dead leaves nothing waiting", async () => {
  const connection = await connected();
  const reply = connection.call("list_chats", { words: "" });
  kernel.end();
  await assert.rejects(reply, /«The connection to the kernel was lost/);
  assert.equal(connection.state, "none");
  await assert.rejects(
    connection.call("list_chats", { words: "" }),
    /«The kernel is not connected/,
  );
});

test("a kernel that ends before it answers the hello leaves the page as it was", async () => {
  kernel.welcome = null;
  const connection = connect();
  await until(() => kernel.told("hello").length === 1);
  const states = listen(connection);
  kernel.die();
  await until(() => connection.state === "absent");
  assert.deepEqual(states, ["absent"]);
});

test("what is asked before or while the network is down fails at once, and then the page comes anew", async () => {
  const connection = await connected();
  const reply = connection.call("list_chats", { words: "" });
  kernel.disconnect();
  await assert.rejects(reply, /«The connection to the kernel was lost/);
  await assert.rejects(
    connection.call("list_chats", { words: "" }),
    /«The kernel is not connected/,
  );
  await until(() => connection.state === "open");
  assert.equal(kernel.told("hello").length, 2);
  await settle();
  assert.equal(kernel.comms.size, 1);
});

test("ten connections one after the other leave one comm and one subshell, and the last none", async () => {
  const connection = await connected();
  for (let round = 0; round < 10; round += 1) {
    kernel.load(false);
    await until(() => connection.state === "absent");
    kernel.load();
    await until(() => connection.state === "open");
  }
  await settle();
  assert.equal(kernel.numSubshells, 11);
  assert.deepEqual([kernel.comms.size, kernel.subshells.size], [1, 1]);
  connection.dispose();
  await settle();
  assert.deepEqual([kernel.comms.size, kernel.subshells.size], [0, 0]);
});

test("a page that goes ends its comm and its subshell", async () => {
  await connected();
  window.dispatchEvent(new Event("pagehide"));
  await settle();
  assert.deepEqual([kernel.comms.size, kernel.subshells.size], [0, 0]);
});

test("two notebooks of one kernel have a comm and a subshell each until they are gone", async () => {
  const one = await connected();
  notebook = new Notebook(kernel.connect());
  const other = await connected();
  assert.notEqual(one.client, other.client);
  assert.deepEqual([kernel.comms.size, kernel.subshells.size], [2, 2]);
  one.dispose();
  await settle();
  assert.deepEqual([kernel.comms.size, kernel.subshells.size], [1, 1]);
  assert.equal(other.state, "open");
  other.dispose();
  await settle();
  assert.deepEqual([kernel.comms.size, kernel.subshells.size], [0, 0]);
});

test("a notebook that is closed leaves nothing in its kernel, which goes on", async () => {
  await connected();
  notebook.sessionContext.session.kernel.dispose(); // as JupyterLab does before it says so
  await settle();
  assert.deepEqual([kernel.comms.size, kernel.subshells.size], [0, 0]);
});

test("a kernel that was restarted from elsewhere is connected once it is loaded there", async () => {
  const connection = await connected();
  kernel.restart();
  kernel.load();
  await until(() => kernel.told("hello").length === 2 && connection.state === "open");
  assert.equal(kernel.comms.size, 1);
});

test("another kernel of a notebook is connected, and the one before let go", async () => {
  const connection = await connected();
  const before = kernel;
  kernel = new JupyterKernel();
  notebook.change(kernel.connect());
  assert.equal(connection.state, "none");
  await until(() => connection.state === "open");
  assert.deepEqual([before.comms.size, kernel.comms.size], [0, 1]);
  notebook.change(null);
  assert.equal(connection.state, "none");
});

test("a kernel that is left while it is being connected keeps nothing of the page", async () => {
  const connection = connect();
  await until(() => kernel.numSubshells === 1);
  notebook.change(null);
  await settle();
  assert.equal(connection.state, "none");
  assert.deepEqual([kernel.comms.size, kernel.subshells.size], [0, 0]);
});

test("a kernel that runs a cell is connected, on a subshell", async () => {
  kernel.isBusy = true;
  const connection = connect();
  await settle();
  mock.timers.tick(3000); // so long Jupyter waits for the shell to say what the kernel is
  await until(() => connection.state === "open");
  assert.equal(kernel.told("hello").length, 1);
});

test("a kernel without a control channel says what it is", async () => {
  kernel.hasControl = false;
  kernel.language = "R";
  const connection = connect();
  await until(() => connection.state === "foreign");
  kernel.language = "python";
  kernel.features = [];
  notebook.change(kernel.connect());
  await until(() => connection.state === "open");
});

test("a kernel that has no subshells is connected at once", async () => {
  kernel.features = [];
  await connected();
  assert.ok(!kinds().includes("control create_subshell_request"));
});

test("where a notebook lies now is told to the kernel that is connected", async () => {
  await connected();
  notebook.localPath = "late.ipynb";
  notebook.pathChanged.emit(notebook.localPath);
  await until(() => kernel.told().length === 2);
  const [hello, { id }] = kernel.told();
  assert.deepEqual(kernel.told()[1], { ...hello, id, path: "late.ipynb" });
});

test("a page that is asked whether it is there says hello", async () => {
  await connected();
  kernel.say({ type: "anybody" });
  await until(() => kernel.told("hello").length === 2);
});

test("a connection that is done with hears nothing more of its kernel", async () => {
  const connection = await connected();
  connection.dispose();
  const states = listen(connection);
  kernel.load();
  await settle();
  kernel.load(false);
  await settle();
  assert.deepEqual(states, []);
  assert.equal(kernel.comms.size, 0);
});
