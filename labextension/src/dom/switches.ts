/** Features that a person has switched off in JupyterLab's settings. */

import type { ISettingRegistry } from "@jupyterlab/settingregistry";

/** Mark the page with what is off of a plugin's settings, now and as they change: style sheets hide it. */
export async function markSwitchedOff(
  registry: ISettingRegistry | null,
  plugin: string,
  ...names: string[]
): Promise<void> {
  const settings = await registry?.load(plugin).catch(() => null);
  const mark = () => {
    for (const name of names) {
      const isOff = settings?.get(name).composite === false;
      document.body.classList.toggle(`jllm-no-${name}`, isOff);
    }
  };
  settings?.changed.connect(mark);
  mark();
}
