/** What Markdown is read as, and what never becomes an element. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { outerBlocks, render } from "../lib/markdown/parser.js";

/**
 * @param {string} source
 */
function html(source) {
  return render(source)
    .map((part) => part.html)
    .join("");
}

/**
 * @param {string} text
 */
function isFormula(text) {
  return html(text).includes("<math");
}

for (const text of [
  "$5 and $10",
  "$5-$10",
  "US$5 or US$6",
  "5$, 6$",
  "$10 or 5$",
  "$HOME `$x$`, \\$a$",
  "```\n$x$\n```",
]) {
  test(`${text} is no formula`, () => assert.ok(!isFormula(text)));
}

for (const text of [
  "$x$",
  "the $n$th",
  "$2x$",
  "$$x$$",
  "\\(x\\)",
  "a \\[x\\] b",
  "($y$)",
  "|$a$|\n|--|",
]) {
  test(`${text} is a formula`, () => assert.ok(isFormula(text)));
}

for (const text of [
  "$$x$$",
  "so\n\\[\n- x\n+ 1\n\\]\nand on",
  "- in a list: $$\n  a\n  = b\n  $$",
]) {
  test(`${JSON.stringify(text)} is a formula by itself`, () =>
    assert.match(html(text), /<math[^>]* display="block"/));
}

for (const [text, drawn] of [
  ["a **b** *c* ~~d~~ `e`", "<p>a <strong>b</strong> <em>c</em> <s>d</s> <code>e</code></p>"],
  ["## T\n---\nx", "<h2>T</h2>\n<hr>\n<p>x</p>"],
  ["3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'],
  ["> q", "<blockquote>\n<p>q</p>\n</blockquote>"],
  ["<b>x</b> &lt; main.py", "<p>&lt;b&gt;x&lt;/b&gt; &lt; main.py</p>"],
  ["a\r\nb\rc", "<p>a\nb\nc</p>"],
  ["- [x] done", "<ul><li>[x] done</li></ul>"],
  [
    "![a *b*](https://c.d) ![](https://e.f)",
    "<p>[image: a *b* – https://c.d] [image: https://e.f]</p>",
  ],
  ["a\u202eb `c\u2066d`", "<p>a[U+202E]b <code>c[U+2066]d</code></p>"],
  ["so $\\text{a\u202eb}$", "<p>so <code>\\text{a[U+202E]b}</code></p>"],
  ['so $\\char"202E x$', "<p>so <code>\\char&quot;202E x</code></p>"],
  ["so $\\foo{x}$", "<p>so <code>\\foo{x}</code></p>"],
  ["so $\\frac{a$ and $x_1_2$", "<p>so <code>\\frac{a</code> and <code>x_1_2</code></p>"],
  ["so $\\def\\a{\\a\\a}\\a$", "<p>so <code>\\def\\a{\\a\\a}\\a</code></p>"],
  ["https://\u0430b.com", '<p><a href="https://xn--b-7sb.com">https://\u0430b.com</a></p>'],
]) {
  test(`${JSON.stringify(text)} is drawn`, () => assert.equal(html(String(text)), drawn));
}

test("lines of a formula that look like something else stay in it", () => {
  assert.equal(outerBlocks("$$\n- a\n# b\n> c\n$$\n\nx").length, 2);
  assert.ok(isFormula("$$\n- a\n> c\n$$"));
});

test("a formula without an end goes up to a blank line", () => {
  assert.deepEqual(
    outerBlocks("a\n\\[\n- x\n\n- y").map(({ firstLine, endLine }) => [firstLine, endLine]),
    [
      [0, 1],
      [1, 3],
      [4, 5],
    ],
  );
});

test("only addresses of the web and of mail are links", () => {
  for (const address of [
    "javascript:x",
    "data:text/html,x",
    "vbscript:x",
    "file:///x",
    "/x",
    "#x",
  ]) {
    assert.ok(!html(`[a](${address})`).includes("<a"), address);
  }
  for (const address of ["https://a.b", "HTTP://a.b", "mailto:a@b.c"]) {
    assert.ok(html(`[a](${address})`).includes("<a"), address);
  }
});

test("names with a dot are no addresses", () => {
  assert.equal(
    html("main.py www.a.b a@b.c //a.b ftp://a.b"),
    "<p>main.py www.a.b a@b.c //a.b ftp://a.b</p>",
  );
});

test("what comes later does not change what is there: there are no definitions", () => {
  assert.ok(!html("[a][b] [b]\n\n[b]: https://c.d").includes('href="https://c.d">a'));
});

test("a fence is closed once its last line has its end", () => {
  const isClosed = (/** @type {string} */ text) => outerBlocks(text)[0]?.fence?.isClosed;
  assert.equal(isClosed("```\nx\n```\n"), true);
  assert.equal(isClosed("```\n```\n"), true);
  assert.equal(isClosed("```\n\n```\n"), true);
  assert.equal(isClosed("```\nx\n```"), false);
  assert.equal(isClosed("```\nx\n"), false);
  assert.equal(isClosed("```\n\n"), false);
});

test("lists and tables come in parts", () => {
  assert.deepEqual(
    render("1. a\n2. b").map((part) => part.html),
    ["<ol>", "<li>a</li>", "<li>b</li>", "</ol>"],
  );
  assert.equal(render("|a|\n|-|\n|1|\n|2|").length, 4);
  assert.equal(render("|a|\n|-|").length, 1);
  assert.equal(render("a").length, 1);
});

test("the language of code is one word", () => {
  const language = (/** @type {string} */ info) =>
    outerBlocks(`\`\`\`${info}\n\`\`\``)[0]?.fence?.language;
  assert.equal(language("Python"), "python");
  assert.equal(language(" python title=x"), "python");
  assert.equal(language("{python}"), "");
  assert.equal(language("c++"), "c++");
});
