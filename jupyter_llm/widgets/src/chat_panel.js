/** The front end of ChatPanel: what anywidget calls. */

/** @type {import("@anywidget/types").AnyWidget} */
export default {
  render({ el }) {
    el.classList.add("jllm-panel");
  },
};
