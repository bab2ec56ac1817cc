/** The subshells that this tab has had made, so that those of an earlier load of it can go. */

import type { Kernel } from "@jupyterlab/services";

const KEY = "jupyter-llm:subshells";

/** A page that is loaded again keeps what its tab has stored, and cannot end things when it goes. */
function stored(): Record<string, string> {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "{}");
  } catch {
    return {};
  }
}

/** Take note of the subshell of a kernel. */
export function rememberSubshell(kernel: string, subshell: string | null): void {
  if (subshell === null) return;
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ ...stored(), [kernel]: subshell }));
  } catch {
    // no room, or not allowed: one more subshell stays until the kernel ends
  }
}

/** End the subshell that an earlier load of this page had made in a kernel. */
export async function reapSubshell(kernel: Kernel.IKernelConnection): Promise<void> {
  const { [kernel.id]: subshell, ...others } = stored();
  if (subshell === undefined) return;
  sessionStorage.setItem(KEY, JSON.stringify(others));
  try {
    await kernel.info;
    await kernel.requestDeleteSubshell({ subshell_id: subshell }).done;
  } catch {
    // it is gone
  }
}
