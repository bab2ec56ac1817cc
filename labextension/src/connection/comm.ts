/** The comm to jupyter_llm in a kernel, and what a kernel is asked before there is one. */

import { type Kernel, KernelMessage } from "@jupyterlab/services";
import { UUID } from "@lumino/coreutils";
import { TARGET } from "./messages.js";

type Content = Record<string, unknown>;
type Ends = Pick<KernelMessage.IInfoReply, "language_info" | "supported_features">;

/**
 * Ask what a kernel is. On its control channel, which answers while a cell runs, though Jupyter's
 * types have such questions on the shell's only; Jupyter itself asks there, for kernels that have no
 * control channel.
 */
export function kernelInfo(kernel: Kernel.IKernelConnection): Promise<Ends> {
  return Promise.race([
    ask(kernel, "kernel_info_request") as unknown as Promise<Ends>,
    kernel.info,
  ]);
}

/** Ask whether jupyter_llm is in a kernel: see jupyter_llm/frontends/lab/presence.py. */
export async function isLoaded(kernel: Kernel.IKernelConnection): Promise<boolean> {
  const target = { target_name: TARGET };
  const { comms = {} } = await Promise.race([
    ask(kernel, "comm_info_request", target),
    kernel.requestCommInfo(target).then(({ content }): Content => ({ ...content })),
  ]);
  return TARGET in (comms as object);
}

async function ask(kernel: Kernel.IKernelConnection, msgType: string, content: Content = {}) {
  const message = messageFor(kernel, "control", msgType, content);
  const reply = await kernel.sendControlMessage(message as never, true).done;
  return reply.content as unknown as Content;
}

function messageFor(
  kernel: Kernel.IKernelConnection,
  channel: "control" | "shell",
  msgType: string,
  content: Content,
  subshellId: string | null = null,
): unknown {
  const [username, session] = [kernel.username, kernel.clientId];
  return KernelMessage.createMessage({
    ...{ msgType, channel, username, session, subshellId, content },
  } as never);
}

/**
 * A comm over any connection to a kernel: Jupyter's own exist on the page's first connection only,
 * and get no subshell before the cell that runs is done. Whoever has it hears it on iopub.
 */
export class Comm {
  readonly id = UUID.uuid4();
  readonly #kernel: Kernel.IKernelConnection;
  #subshell: string | null = null;
  #isOpen = false;

  constructor(kernel: Kernel.IKernelConnection) {
    this.#kernel = kernel;
  }

  /** Have a subshell, where messages do not wait for the cell that runs. */
  async makeSubshell(): Promise<void> {
    const { subshell_id: id } = await ask(this.#kernel, "create_subshell_request");
    this.#subshell = typeof id === "string" ? id : null;
  }

  open(): void {
    this.#isOpen = true;
    this.#post("comm_open", { target_name: TARGET });
  }

  send(data: object): void {
    this.#post("comm_msg", { data });
  }

  /** Let the kernel know that nobody listens any more. Fails where it is dead. */
  close(): void {
    const subshell_id = this.#subshell;
    this.#subshell = null; // which may be gone before it has taken in what is still sent there
    if (this.#isOpen) this.#post("comm_close");
    if (subshell_id) ask(this.#kernel, "delete_subshell_request", { subshell_id }).catch(() => {});
  }

  #post(msgType: string, more: Content = {}): void {
    const content = { comm_id: this.id, data: {}, ...more };
    const message = messageFor(this.#kernel, "shell", msgType, content, this.#subshell);
    this.#kernel.sendShellMessage(message as never);
  }
}
