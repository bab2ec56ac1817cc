/** The front end of ChatPanel: what anywidget calls. */

import { createMarkdownView } from "./markdown.js";

/** @type {import("@anywidget/types").AnyWidget} */
export default {
  render({ el }) {
    el.classList.add("jllm-panel");
    el.append(createMarkdownView().element);
  },
};
