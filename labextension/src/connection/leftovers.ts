/** What earlier loads of this page have left in kernels: a page that goes cannot be sure to end it. */

const KEY = "jupyter-llm:connections";

/** A comm as it is in the kernel, and the subshell that serves it. */
interface Leftover {
  kernel: string;
  comm: string;
  subshell: string | null;
}

function stored(): Record<string, Leftover> {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "{}");
  } catch {
    return {};
  }
}

function store(leftovers: Record<string, Leftover>): void {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(leftovers));
  } catch {
    // no room, or not allowed: it stays until the kernel ends
  }
}

/**
 * Take note of a client's comm. As long as the page lives it holds a lock with the client's name:
 * what is stored is copied when a tab is, so that alone does not say whose it is.
 */
export function remember(client: string, leftover: Leftover): void {
  if (!navigator.locks) return;
  store({ ...stored(), [client]: leftover });
  void navigator.locks.request(client, { ifAvailable: true }, () => new Promise(() => {}));
}

/** Take out what pages that are gone have left in a kernel. */
export async function leftBehind(kernel: string): Promise<Leftover[]> {
  const { held } = (await navigator.locks?.query()) ?? {};
  if (!held) return [];
  const alive = new Set(held.map(({ name }) => name));
  const all = Object.entries(stored());
  const gone = all.filter(([client, left]) => left.kernel === kernel && !alive.has(client));
  store(Object.fromEntries(all.filter((entry) => !gone.includes(entry))));
  return gone.map(([, left]) => left);
}
