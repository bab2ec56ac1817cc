/** Whether jupyter_llm is in a kernel: see jupyter_llm/frontends/lab/presence.py. */

import { type Kernel, KernelMessage } from "@jupyterlab/services";
import { TARGET } from "./messages.js";

/**
 * Ask for the ids of the comms that jupyter_llm has in a kernel: none if it is not loaded, else the
 * target's name among them. Beside all that runs: the control channel answers at once, though
 * Jupyter's types have this question on the shell's only.
 */
export async function commsOf(kernel: Kernel.IKernelConnection): Promise<Set<string>> {
  const question = KernelMessage.createMessage<KernelMessage.ICommInfoRequestMsg>({
    msgType: "comm_info_request",
    channel: "shell",
    username: kernel.username,
    session: kernel.clientId,
    content: { target_name: TARGET },
  });
  const asked = { ...question, channel: "control" } as unknown as KernelMessage.IControlMessage;
  const reply: unknown = await kernel.sendControlMessage(asked, true).done;
  const { content } = reply as KernelMessage.ICommInfoReplyMsg;
  return new Set(content.status === "ok" ? Object.keys(content.comms) : []);
}

/** Tell whether a message of a kernel says that jupyter_llm has come to it, or gone. */
export function presenceIn({ header, content }: KernelMessage.IIOPubMessage): boolean | null {
  if (header.msg_type !== "comm_msg") return null;
  const { comm_id, data } = content as KernelMessage.ICommMsgMsg["content"];
  return comm_id === TARGET ? (data as { type?: unknown }).type === "loaded" : null;
}
