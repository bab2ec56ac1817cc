/** The examples of what front ends and the kernel say are what the TypeScript types say. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { PROTOCOL } from "../lib/connection/messages.js";
import { CALLS, example, EXAMPLES as NAMES } from "./messages.js";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const OPTIONS = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noEmit: true,
  skipLibCheck: true,
  types: [],
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
};

/**
 * Return what the compiler has against lines of TypeScript, by their names.
 *
 * @param {Record<string, string>} named
 * @returns {string[]}
 */
function wrong(named) {
  const file = `${HERE}messages.gen.ts`;
  const lines = Object.values(named);
  const names = "Arguments, Call, Message, Method, Numbered, Reply";
  const head = `import type { ${names} } from "../src/connection/messages.js";`;
  const host = ts.createCompilerHost(OPTIONS);
  const { getSourceFile } = host;
  host.getSourceFile = (name, version) =>
    name === file
      ? ts.createSourceFile(name, [head, ...lines].join("\n"), version)
      : getSourceFile(name, version);
  const program = ts.createProgram([file], OPTIONS, host);
  const source = program.getSourceFile(file);
  assert.ok(source);
  return program.getSemanticDiagnostics(source).map(({ start, messageText }) => {
    const { line } = source.getLineAndCharacterOfPosition(start ?? 0);
    const why = ts.flattenDiagnosticMessageText(messageText, " ");
    return `${Object.keys(named)[line - 1]}: ${why}`;
  });
}

/**
 * Return which messages are not all that their types say, or more, and why.
 *
 * @param {Record<string, any>} messages
 */
function misfits(messages) {
  const lines = Object.entries(messages).map(([name, message]) => {
    return [name, satisfies(message, "seq" in message ? "Numbered" : "Call")];
  });
  return wrong(Object.fromEntries(lines));
}

/**
 * @param {any} value
 * @param {string} type
 */
function satisfies(value, type) {
  return `void (${JSON.stringify(value)} satisfies ${type});`;
}

const EXAMPLES = Object.fromEntries(NAMES.map((name) => [name, example(name)]));

test("the examples are what the types say", () => {
  assert.deepEqual(misfits(EXAMPLES), []);
});

test("the arguments and results of the calls are what the types say", () => {
  const lines = Object.entries(CALLS).flatMap(([name, call]) => [
    [`${name}'s arguments`, satisfies(call.arguments, `Arguments<"${name}">`)],
    [`${name}'s value`, satisfies(call.value, `Reply<"${name}">`)],
  ]);
  assert.deepEqual(wrong(Object.fromEntries(lines)), []);
});

test("every message and every method has an example", () => {
  const types = Object.values(EXAMPLES).map(({ type }) => type);
  const known = { 'Message["type"]': types, Method: [...Object.keys(CALLS), "hello"] };
  const lines = Object.entries(known).map(([kind, some]) => {
    const names = some.map((name) => JSON.stringify(name)).join(" | ");
    return [kind, `void ((t: Exclude<${kind}, ${names}>): never => t);`];
  });
  assert.deepEqual(wrong(Object.fromEntries(lines)), []);
});

test("what is missing, too much or of another type is found", () => {
  const { model: _, ...less } = example("welcome");
  const wrong = misfits({
    less,
    more: example("hello", { more: 1 }),
    other: example("hello", { path: null }),
    unknown: example("hello", { type: "no such" }),
    fine: example("hello"),
  });
  assert.deepEqual(
    wrong.map((said) => said.split(":")[0]),
    ["less", "more", "other", "unknown"],
  );
});

test("the examples speak this protocol", () => {
  assert.equal(example("hello").protocol, PROTOCOL);
  assert.equal(example("welcome").protocol, PROTOCOL);
});
