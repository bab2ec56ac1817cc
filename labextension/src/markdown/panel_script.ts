/** The chat panel's own files, which are fetched when they are needed first. */

import { PageConfig, URLExt } from "@jupyterlab/coreutils";
import type { createMarkdownView } from "./markdown.js";

/** The exports of chat_panel.js. */
export interface PanelScript {
  default: () => PanelWidget;
  createMarkdownView: typeof createMarkdownView;
}

/** The functions that show a model; each returns a function that ends the view. */
export interface PanelWidget {
  initialize(parts: { model: object }): () => void;
  render(parts: { model: object; el: HTMLElement }): () => void;
}

let loading: Promise<PanelScript> | null = null;

/** Fetch the script and its style, once; what could not be fetched is tried again the next time. */
export function panelScript(): Promise<PanelScript> {
  loading ??= load().catch((error: unknown) => {
    loading = null;
    throw error;
  });
  return loading;
}

async function load(): Promise<PanelScript> {
  // Without a version in it, browsers ask whether the file is still the same: no old one is used.
  const folder = URLExt.join(PageConfig.getOption("fullLabextensionsUrl"), "jupyter-llm/static");
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = URLExt.join(folder, "chat_panel.css");
  const styled = new Promise<void>((resolve, reject) => {
    style.onload = () => resolve();
    style.onerror = () => reject(new Error(style.href));
  });
  document.head.append(style);
  const script = URLExt.join(folder, "chat_panel.js");
  try {
    const [loaded] = await Promise.all([import(/* webpackIgnore: true */ script), styled]);
    return loaded as PanelScript;
  } catch (error) {
    style.remove();
    throw error;
  }
}
