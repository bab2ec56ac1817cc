/** A chat's front end hears and says over the extension's comm what it would over a widget's. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Signal } from "@lumino/signaling";
import { PanelModel } from "../lib/sidebar/panel_model.js";
import { example } from "./messages.js";

class FakeLine {
  state = "open";
  /** @type {Signal<any, any>} */
  stateChanged = new Signal(this);
  /** @type {Signal<any, any>} */
  panelReceived = new Signal(this);
  /** @type {any[]} */
  sent = [];
  call = (/** @type {any[]} */ ...call) => this.sent.push(call);
  tell = (/** @type {string} */ panel, /** @type {any} */ message) =>
    this.sent.push({ panel, message });

  become(/** @type {string} */ state) {
    this.state = state;
    this.stateChanged.emit(state);
  }
}

/** @type {FakeLine} */
let line;
/** @type {PanelModel} */
let model;
/** @type {unknown} */
let id;

beforeEach(() => {
  line = new FakeLine();
  model = new PanelModel(/** @type {any} */ (line), "prices", {});
  id = model.get("panel_id");
});

/** Return a list that fills with what is told under a name. */
function listen(/** @type {string} */ name) {
  /** @type {unknown[]} */
  const told = [];
  model.on(name, (value) => told.push(value));
  return told;
}

test("the chat is opened before anything is said to it", () => {
  model.send({ type: "bye" });
  assert.deepEqual(line.sent, [
    ["show_chat", { panel_id: id, chat: "prices" }],
    { panel: id, message: { type: "bye" } },
  ]);
});

test("only what is for this chat is heard", () => {
  const told = listen("msg:custom");
  line.panelReceived.emit({ message: example("ack", { seq: 7 }), panel: "other" });
  line.panelReceived.emit({ message: example("ack", { seq: 1 }), panel: id });
  assert.deepEqual(told, [example("ack", { seq: 1 })]);
});

test("another kernel is told by the name that the chat has now, and the front end hears of it", () => {
  const told = listen("comm_live_update");
  model.chat = "costs";
  line.become("absent");
  assert.equal(told.length, 0);
  line.become("open");
  assert.deepEqual(line.sent.at(-1), ["show_chat", { panel_id: id, chat: "costs" }]);
  assert.equal(told.length, 1);
});

test("a chat that goes by another name in the kernel says so", () => {
  const told = listen("change:chat");
  const say = (/** @type {object} */ message) => line.panelReceived.emit({ panel: id, message });
  say({ type: "document", document: { name: "prices" } });
  say({ type: "patch", patch: { name: "costs" } });
  say({ type: "patch", patch: { path: [] } });
  assert.deepEqual(told, ["costs"]);
});

test("without a kernel nothing can be sent, and that is said", () => {
  line.become("none");
  assert.throws(() => model.send({ type: "bye" }), /not connected/);
  assert.equal(line.sent.length, 1);
});

test("a chat that is closed hears nothing more", () => {
  const told = [...listen("msg:custom"), ...listen("comm_live_update")];
  model.dispose();
  assert.deepEqual(line.sent.at(-1), ["hide_chat", { panel_id: id }]);
  line.panelReceived.emit({ panel: id, message: example("ack") });
  line.become("open");
  assert.deepEqual(told, []);
  assert.equal(line.sent.length, 2);
});
