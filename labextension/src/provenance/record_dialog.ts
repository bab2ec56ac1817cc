/** Shows what is recorded of how a text was made. */

import { Dialog, showDialog } from "@jupyterlab/apputils";
import { Widget } from "@lumino/widgets";
import type { Connection } from "../connection/connection.js";
import { factEntries, make } from "../dom/elements.js";
import { language, trans } from "../dom/words.js";
import { createModelText } from "../markdown/model_text.js";
import type { Generated } from "./badges.js";

/** Show the record of a text; the focus comes back when it is closed. */
export async function showRecord(generated: Generated, connection: Connection): Promise<void> {
  const body = new RecordBody(generated, connection);
  const buttons = [Dialog.okButton({ label: trans.__("Close") })];
  await showDialog({ title: trans.__("How this was made"), body, buttons });
}

/** Begins with what the metadata say; what the kernel knows comes in its place. */
class RecordBody extends Widget {
  constructor({ metadata, text, made }: Generated, connection: Connection) {
    super();
    this.addClass("jllm-record");
    for (const { model, quantization, licence, host, time } of made) {
      const facts = factEntries([
        [trans.__("written by"), quantization ? `${model} (${quantization})` : model],
        [trans.__("sent to"), host],
        [trans.__("licence"), licence],
        [trans.__("on"), time?.toLocaleString(language())],
      ]);
      this.node.append(make("dl", "jllm-record-facts", ...facts));
    }
    const note = make("p", { className: "jllm-record-note", role: "status" });
    this.node.append(note);
    if (connection.state !== "open") {
      note.textContent = trans.__(
        "A kernel with jupyter_llm tells more: the settings, and whether it was edited since.",
      );
      return;
    }
    void connection.call("record", { metadata, text: text() }).then(
      (markdown) => {
        if (this.isDisposed) return;
        const view = createModelText();
        view.update(markdown, true);
        this.node.replaceChildren(view.element);
      },
      (error: Error) => {
        note.textContent = error.message;
      },
    );
  }
}
