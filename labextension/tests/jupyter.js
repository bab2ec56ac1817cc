/** A kernel's end of Jupyter's own connection to it, and what a page has for connections. */

import assert from "node:assert/strict";
import { mock } from "node:test";
import { KernelConnection, ServerConnection } from "@jupyterlab/services";
import { UUID } from "@lumino/coreutils";
import { Signal } from "@lumino/signaling";
import { PROTOCOL, TARGET } from "../lib/connection/messages.js";

/** Give the process what connections use of a page, anew. */
export function openPage() {
  const value = Object.assign(new EventTarget(), {
    // Those of now: tests put their own in place of them.
    setTimeout: (/** @type {() => void} */ f, /** @type {number} */ ms) => setTimeout(f, ms),
  });
  Object.defineProperty(globalThis, "window", { value, configurable: true, writable: true });
}

/** Let something of what is on its way arrive, and timers that are due go off. */
async function pass() {
  mock.timers.tick(0);
  await new Promise((resolve) => setImmediate(resolve));
}

/** Let all that is on its way arrive. */
export async function settle() {
  for (let round = 0; round < 60; round += 1) await pass();
}

/**
 * Wait until something holds.
 *
 * @param {() => unknown} holds
 */
export async function until(holds) {
  for (let round = 0; round < 1000 && !holds(); round += 1) await pass();
  assert.ok(holds(), `Never: ${holds}`);
}

/** A notebook as a connection knows it, with or without a kernel. */
export class Notebook {
  localPath = "notebooks/first.ipynb";
  pathChanged = new Signal(/** @type {any} */ (this));
  /** @type {any} */
  sessionContext = { session: null };

  /** @param {KernelConnection | null} kernel */
  constructor(kernel) {
    this.sessionContext.kernelChanged = new Signal(this.sessionContext);
    this.sessionContext.session = { kernel };
  }

  /** @param {KernelConnection | null} kernel */
  change(kernel) {
    this.sessionContext.session = { kernel };
    this.sessionContext.kernelChanged.emit({});
  }
}

/** Answers what Jupyter asks at once, and a hello as the real one does; notes all that it is sent. */
export class JupyterKernel {
  id = UUID.uuid4();
  language = "python";
  features = ["kernel subshells"];
  /** What `%load_ext` fails with. */
  failure = "";
  /** How many executions are yet dropped, as those are that wait behind a cell that fails. */
  numAborted = 0;
  /** What a hello is answered with; null for a kernel that does not answer. */
  welcome = /** @type {any} */ ({
    type: "welcome",
    protocol: PROTOCOL,
    version: "1.2.3",
    model: null,
  });
  isLoaded = true;
  /** Whether a cell runs: its main shell answers nothing meanwhile. */
  isBusy = false;
  /** Whether it hears what comes on its control channel. */
  hasControl = true;
  /** All that came but what Jupyter sends by itself. */
  /** @type {{ type: string, channel: string, subshell: unknown, content: any }[]} */
  taken = [];
  /** @type {Set<string>} */
  subshells = new Set();
  /** The comms that pages have opened, and how much was said on each. */
  /** @type {Map<string, number>} */
  comms = new Map();
  numSubshells = 0;
  #session = UUID.uuid4();
  /** @type {Set<any>} */
  #sockets = new Set();
  #hasConnection = false;

  /**
   * Connect as a notebook of a page does. As JupyterLab's kernel manager has it, only the page's
   * first connection to a kernel has comms.
   */
  connect() {
    const handleComms = !this.#hasConnection;
    this.#hasConnection = true;
    const kernel = this;
    class Socket {
      protocol = "";
      onopen = () => {};
      onclose = (/** @type {any} */ _event) => {};
      onmessage = (/** @type {any} */ _event) => {};

      constructor() {
        setImmediate(() => {
          kernel.#sockets.add(this);
          this.onopen();
        });
      }

      /** @param {string} text */
      send(text) {
        setImmediate(() => kernel.#take(JSON.parse(text)));
      }

      close() {
        kernel.#sockets.delete(this);
      }
    }
    return new KernelConnection({
      model: { id: this.id, name: "kernel" },
      handleComms,
      serverSettings: ServerConnection.makeSettings({ WebSocket: /** @type {any} */ (Socket) }),
      kernelAPIClient: /** @type {any} */ ({ restart: async () => this.#forget() }),
    });
  }

  /** The calls on our comms, or those of one method, with the arguments by their names. */
  told(method = "") {
    const messages = this.taken.filter((message) => message.type === "comm_msg");
    const calls = messages.map(({ content }) => {
      const { type, method = type, id, arguments: args, ...hello } = content.data;
      return { method, id, ...(args ?? hello) };
    });
    return method ? calls.filter((call) => call.method === method) : calls;
  }

  /** Say something on the comm that was opened last. */
  say(/** @type {object} */ data) {
    const id = [...this.comms.keys()].at(-1) ?? "";
    const seq = (this.comms.get(id) ?? 0) + 1;
    this.comms.set(id, seq);
    this.#publish("comm_msg", { comm_id: id, data: { ...data, seq } });
  }

  /** Say something that is lost on the way. */
  lose() {
    const id = [...this.comms.keys()].at(-1) ?? "";
    this.comms.set(id, (this.comms.get(id) ?? 0) + 1);
  }

  /** `%load_ext jupyter_llm`, and `%unload_ext`. */
  load(isLoaded = true) {
    this.isLoaded = isLoaded;
    const type = isLoaded ? "loaded" : "unloaded";
    this.#publish("comm_msg", { comm_id: TARGET, data: { type } });
  }

  /** End, and be started again by the server. */
  die() {
    this.#forget();
    this.#publish("status", { execution_state: "restarting" });
  }

  /** End for good. */
  end() {
    this.#publish("status", { execution_state: "dead" });
  }

  /** Be restarted by somebody else: no connection of the page hears of that. */
  restart() {
    this.#forget();
  }

  /** The network goes, and comes again. */
  disconnect() {
    for (const socket of [...this.#sockets]) {
      this.#sockets.delete(socket);
      socket.onclose({});
    }
  }

  #forget() {
    this.#session = UUID.uuid4();
    this.isLoaded = false;
    this.comms.clear();
    this.subshells.clear();
  }

  /** @param {any} message */
  #take({ header, channel, content }) {
    const type = header.msg_type;
    const isMain = channel === "shell" && !header.subshell_id;
    if (channel === "control" ? !this.hasControl : isMain && this.isBusy) return;
    if (type !== "kernel_info_request")
      this.taken.push({ type, channel, subshell: header.subshell_id, content });
    const reply = this.#answer(type, content);
    if (reply) this.#send(channel, type.replace("request", "reply"), reply, header);
    this.#publish("status", { execution_state: "idle" }, header);
  }

  /**
   * @param {string} type
   * @param {any} content
   */
  #answer(type, content) {
    switch (type) {
      case "kernel_info_request":
        return { language_info: { name: this.language }, supported_features: this.features };
      case "comm_info_request": {
        const ids = this.isLoaded ? [TARGET, ...this.comms.keys()] : [];
        const comms = ids.map((id) => [id, { target_name: TARGET }]);
        return { status: "ok", comms: Object.fromEntries(comms) };
      }
      case "create_subshell_request":
        this.numSubshells += 1;
        this.subshells.add(`subshell-${this.numSubshells}`);
        return { status: "ok", subshell_id: `subshell-${this.numSubshells}` };
      case "delete_subshell_request":
        this.subshells.delete(content.subshell_id);
        return { status: "ok" };
      case "execute_request":
        if (this.numAborted > 0) {
          this.numAborted -= 1;
          return { status: "aborted" };
        }
        if (this.failure) return { status: "error", ename: "Error", evalue: this.failure };
        this.load();
        return { status: "ok" };
      case "comm_open":
        this.comms.set(content.comm_id, 0);
        return null;
      case "comm_close":
        this.comms.delete(content.comm_id);
        return null;
      case "comm_msg":
        if (content.data.type === "hello" && this.welcome)
          this.say({ ...this.welcome, id: content.data.id });
        return null;
      default:
        return null;
    }
  }

  /**
   * @param {string} type
   * @param {object} content
   * @param {object} parent
   */
  #publish(type, content, parent = {}) {
    this.#send("iopub", type, content, parent);
  }

  /**
   * @param {string} channel
   * @param {string} type
   * @param {object} content
   * @param {object} parent_header
   */
  #send(channel, type, content, parent_header) {
    const date = new Date().toISOString();
    const [session, msg_id] = [this.#session, UUID.uuid4()];
    const header = { msg_id, msg_type: type, session, username: "", date, version: "5.5" };
    const message = { header, parent_header, channel, metadata: {}, content, buffers: [] };
    const data = JSON.stringify(message);
    for (const socket of this.#sockets) setImmediate(() => socket.onmessage({ data }));
  }
}
