/** What the status bar says of the model, and of which notebook. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ModelStatus } from "../lib/kernel/model_status.js";
import { line, shortName, size } from "../lib/models/words.js";
import { CALLS, example } from "./messages.js";

const status = example("activity");

/** A line that notes what is asked, and whose answers are given by hand. */
class FakeLine {
  /** @type {any[]} */
  asked = [];
  /** @type {((message: any) => void)[]} */
  answer = [];

  /**
   * @param {string} method
   * @param {object} args
   */
  call(method, args) {
    this.asked.push([method, args]);
    const reply = new Promise((resolve) => this.answer.push(resolve));
    return Object.assign(reply, { id: `page-${this.asked.length}` });
  }
}

/** @returns {any} */
const fake = () => new FakeLine();

test("a line says what the model does, how full it is and what it takes", () => {
  assert.equal(line(status), "smollm2-135m · idle · KV 12 % · 470 MB");
  const two = { ...status, beside: ["coder (code at the cursor)"] };
  assert.equal(line(two), "smollm2-135m · idle · KV 12 % · 1 more · 470 MB");
});

test("while a model is loaded the line says how far", () => {
  const loading = example("activity-loading");
  assert.equal(line(loading), "smollm2-135m · loading 25 % · 120 MB");
});

test("while a model is pulled the line says how far", () => {
  const pulling = example("activity-pulling");
  const said = line(pulling);
  assert.equal(said, "smollm2-135m · idle · KV 12 % · 470 MB · pulling 25 %");
  const none = /** @type {any} */ ({ ...pulling, state: "none", model: null });
  assert.equal(line(none), "LLM: no model loaded · pulling 25 %");
});

test("the models are listed again when one has been pulled", async () => {
  const [model, one] = [new ModelStatus(), fake()];
  model.follow(one);
  const listed = model.list();
  one.answer[1](CALLS.list_models.value);
  await listed;
  const pulling = example("activity-pulling");
  model.take(pulling);
  assert.equal(one.asked.length, 2);
  model.take({ ...pulling, pull: { ...pulling.pull, state: "done" } });
  assert.deepEqual(one.asked.at(-1), ["list_models", {}]);
});

test("a kernel without a model says so", () => {
  const none = { ...status, state: "none", model: null };
  assert.equal(line(/** @type {any} */ (none)), "LLM: no model loaded");
});

for (const [name, short] of [
  ["smollm2-135m-instruct.q4_1", "smollm2-135m"],
  ["qwen2.5-coder-0.5b-instruct-q8_0", "qwen2.5-coder-0.5b"],
  ["mistral-7b-v0.3.iq2_xs", "mistral-7b-v0.3"],
  ["gemma-3-1b-it", "gemma-3-1b"],
  ["q8_0", "q8_0"],
  ["qwen3-4b-instruct@gpu-it.example:8000", "qwen3-4b@gpu-it.example:8000"],
]) {
  test(`a name is as long as it tells a model from others: ${name}`, () => {
    assert.equal(shortName(String(name)), short);
  });
}

test("a size has few digits", () => {
  assert.deepEqual([98e6, 499e6, 5e8, 9e8, 12.34e9].map(size), [
    "98 MB",
    "499 MB",
    "0.5 GB",
    "0.9 GB",
    "12.3 GB",
  ]);
});

test("only one kernel is watched at a time", () => {
  const [model, one, other] = [new ModelStatus(), fake(), fake()];
  model.follow(one);
  model.take(status);
  assert.deepEqual(model.status, status);
  model.follow(other);
  assert.deepEqual(one.asked.at(-1), ["watch_activity", { is_on: false }]);
  assert.deepEqual(other.asked, [["watch_activity", { is_on: true }]]);
  assert.equal(model.status, null);
});

test("a line that comes back is watched again, and nothing is said of it meanwhile", () => {
  const [model, one] = [new ModelStatus(), fake()];
  model.follow(one);
  model.take(status);
  model.follow(null);
  assert.equal(model.status, null);
  model.follow(one);
  const told = [true, false, true].map((is_on) => ["watch_activity", { is_on }]);
  assert.deepEqual(one.asked, told);
});

test("what is known of a kernel that is watched anew stays until it tells more", async () => {
  const [model, one] = [new ModelStatus(), fake()];
  model.follow(one);
  model.take(status);
  const listed = model.list();
  one.answer[1](CALLS.list_models.value);
  await listed;
  model.follow(one);
  assert.deepEqual(model.status, status);
  assert.ok(model.models);
  assert.deepEqual(one.asked.at(-1), ["list_models", {}]);
});

test("what is being loaded can be stopped where it was chosen", async () => {
  const [model, one] = [new ModelStatus(), fake()];
  model.follow(one);
  const use = model.use("other", "chat");
  assert.ok(model.canStop);
  model.follow(fake());
  assert.ok(!model.canStop);
  model.follow(one);
  model.stop();
  assert.deepEqual(one.asked.at(-1), ["stop", { target: "page-2" }]);
  one.answer[1](null);
  await use;
  assert.ok(!model.canStop);
});

test("why a model could not be loaded is kept for whoever looks later", async () => {
  const [model, one] = [new ModelStatus(), fake()];
  model.follow(one);
  const reply = Promise.reject(new Error("too large"));
  reply.catch(() => {});
  one.call = () => Object.assign(reply, { id: "page-1" });
  await assert.rejects(model.use("other", "chat"));
  assert.equal(model.problem, "too large");
});

/** A line where no model can be loaded. */
class RefusingLine extends FakeLine {
  fail = (/** @type {string} */ _reason) => {};

  /**
   * @param {string} method
   * @param {object} args
   */
  call(method, args) {
    const sent = super.call(method, args);
    if (method !== "use_model") return sent;
    const reply = new Promise((_, reject) => {
      this.fail = (reason) => reject(new Error(reason));
    });
    return Object.assign(reply, { id: sent.id });
  }
}

test("why a model was not loaded is said at the kernel that was asked, and nowhere else", async () => {
  const [model, one] = [new ModelStatus(), /** @type {any} */ (new RefusingLine())];
  model.follow(one);
  const used = model.use("large", "chat");
  model.follow(fake());
  one.fail("It does not fit.");
  await assert.rejects(used);
  assert.equal(model.problem, "");
  model.follow(one);
  const again = model.use("large", "chat");
  one.fail("It does not fit.");
  await assert.rejects(again);
  assert.equal(model.problem, "It does not fit.");
  model.follow(fake());
  assert.equal(model.problem, "");
});

test("to stop a load leaves no problem", async () => {
  const [model, one] = [new ModelStatus(), /** @type {any} */ (new RefusingLine())];
  model.follow(one);
  const used = model.use("large", "chat");
  assert.ok(model.canStop);
  model.stop();
  assert.deepEqual(one.asked.at(-1), ["stop", { target: "page-2" }]);
  one.fail("Stopped.");
  await assert.rejects(used);
  assert.equal(model.problem, "");
  assert.equal(model.canStop, false);
});
