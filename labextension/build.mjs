/** Bundles the front end: `node build.mjs [FOLDER]`, the chat panel's files by default into its static/.
 *
 * The JupyterLab extension is put together by Jupyter's own builder, and gets a copy of them.
 *
 * The same sources and lock give the same bytes, wherever they lie and whoever builds them.
 */

import { execFileSync } from "node:child_process";
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));

/**
 * A library of which something is in the bundle.
 *
 * @typedef {{ name: string, version: string, license: string, text: string }} Library
 */

/**
 * Return the names of the packages that files lie in.
 *
 * @param {string[]} paths
 * @returns {string[]}
 */
function packageNames(paths) {
  const names = paths.map((path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]);
  return [...new Set(names.filter((name) => name !== undefined))].sort();
}

/** @param {string} path */
const readJson = async (path) => JSON.parse(await readFile(resolve(HERE, path), "utf8"));

/**
 * Read what a package says of itself and its licence.
 *
 * @param {string} name
 * @returns {Promise<Library>}
 */
async function readLibrary(name) {
  const folder = join(HERE, "node_modules", name);
  const { version, license } = await readJson(join(folder, "package.json"));
  const files = (await readdir(folder)).filter((file) => /^licen[cs]e/i.test(file)).sort();
  if (!license || files.length === 0) {
    throw new Error(`${name} does not say under which licence it may be passed on`);
  }
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
  const text = texts.map((part) => part.replace(/\r\n/g, "\n").trim()).join("\n\n");
  return { name, version, license, text };
}

/**
 * Return a comment for the head of the bundle, since a bundle travels without its folder.
 *
 * @param {Library[]} libraries
 * @returns {string}
 */
function notice(libraries) {
  const names = libraries.map(({ name, version, license }) => `${name} ${version} (${license})`);
  return `/*! jupyter_llm (BSD-3-Clause) with ${names.join(", ")}. Licences: LICENSES.txt */\n`;
}

/**
 * Return the licences in full.
 *
 * @param {Library[]} libraries
 * @returns {string}
 */
function licences(libraries) {
  const head =
    "chat_panel.js is BSD-3-Clause, as the package is. It holds parts of these libraries.";
  const parts = libraries.map(
    ({ name, version, license, text }) => `${name} ${version} (${license})\n\n${text}`,
  );
  return `${[head, ...parts].join(`\n\n${"=".repeat(80)}\n\n`)}\n`;
}

const folder = resolve(process.argv[2] ?? join(HERE, "../jupyter_llm/frontends/panel/static"));
const { metafile, outputFiles } = await build({
  absWorkingDir: HERE,
  entryPoints: ["src/chat_panel.ts", "src/chat_panel.css", "src/cell_page.ts"],
  outdir: folder,
  bundle: true,
  minify: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  // Less to send: without chemistry, and without a list of what the browser knows.
  alias: { temml: "temml/temml.js", entities: "./src/markdown/entities.ts" },
  legalComments: "none",
  metafile: true,
  write: false,
  logLevel: "warning",
});
const libraries = await Promise.all(packageNames(Object.keys(metafile.inputs)).map(readLibrary));

await mkdir(folder, { recursive: true });
for (const { path, text } of outputFiles) {
  await writeFile(path, path.endsWith("chat_panel.js") ? notice(libraries) + text : text);
}
await writeFile(join(folder, "LICENSES.txt"), licences(libraries));

if (process.argv[2] === undefined) await buildExtension();

/** Compile the extension and have it bundled as a federated module of JupyterLab. */
async function buildExtension() {
  /** @param {string[]} command */
  const run = (...command) => execFileSync(process.execPath, command, { cwd: HERE, stdio: "pipe" });
  try {
    run("node_modules/typescript/bin/tsc", "--project", "tsconfig.build.json");
    // The builder would ask for its own JupyterLab; ask for the oldest that package.json accepts.
    const core = await readJson("node_modules/@jupyterlab/core-meta/core.package.json");
    for (const [name, range] of Object.entries((await readJson("package.json")).dependencies)) {
      if (name.startsWith("@jupyterlab/")) core.resolutions[name] = range;
    }
    await writeFile(join(HERE, "lib/core.package.json"), JSON.stringify(core));
    const builder = "node_modules/@jupyter/builder/lib/build-labextension.js";
    run(builder, "--core-package-file=lib/core.package.json", ".");
  } catch (error) {
    const { stdout, stderr } = /** @type {{ stdout?: Buffer, stderr?: Buffer }} */ (error);
    console.error(`${stdout ?? ""}${stderr ?? ""}`);
    throw new Error("The JupyterLab extension could not be built, see above");
  }
  const target = join(HERE, "../jupyter_llm/frontends/lab/static");
  for (const name of ["chat_panel.js", "chat_panel.css"]) {
    await copyFile(join(folder, name), join(target, "static", name));
  }
  await copyFile(join(HERE, "install.json"), join(target, "install.json"));
}
