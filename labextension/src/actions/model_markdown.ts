/** Shows Markdown that a model wrote: text and its looks, and nothing that acts or loads something. */

import type { IRenderMime, IRenderMimeRegistry } from "@jupyterlab/rendermime";

const TAGS =
  "a b blockquote br code del div em h1 h2 h3 h4 h5 h6 hr i kbd li ol p pre s span strong sub sup " +
  "table tbody td th thead tr ul";

/** Takes less than JupyterLab's own, which lets images of other servers and forms through. */
class TextOnly implements IRenderMime.ISanitizer {
  readonly allowNamedProperties = false;
  readonly allowCommandLinker = false;
  readonly #sanitizer: IRenderMime.ISanitizer;

  constructor(sanitizer: IRenderMime.ISanitizer) {
    this.#sanitizer = sanitizer;
  }

  sanitize(dirty: string): string {
    return this.#sanitizer.sanitize(dirty, {
      allowedTags: TAGS.split(" "),
      allowedAttributes: {
        a: ["href"],
        code: ["class"],
        ol: ["start"],
        span: ["class"],
        td: ["align"],
        th: ["align"],
      },
      allowedStyles: {},
    });
  }
}

/** An element that shows Markdown, also while it is still being written. */
export class ModelMarkdown {
  readonly element: HTMLElement;
  readonly #registry: IRenderMimeRegistry;
  readonly #renderer: IRenderMime.IRenderer;
  #wanted = "";
  #shown = "";
  #isBusy = false;

  constructor(registry: IRenderMimeRegistry) {
    this.#registry = registry.clone({ sanitizer: new TextOnly(registry.sanitizer) });
    this.#renderer = this.#registry.createRenderer("text/markdown");
    this.element = this.#renderer.node;
    this.element.classList.add("jp-RenderedHTMLCommon", "jllm-action-markdown");
  }

  /** Show a text; of several that come meanwhile, the last one. */
  show(markdown: string): void {
    this.#wanted = markdown;
    if (!this.#isBusy) void this.#render();
  }

  dispose(): void {
    this.#renderer.dispose();
  }

  async #render(): Promise<void> {
    this.#isBusy = true;
    while (this.#wanted !== this.#shown && !this.#renderer.isDisposed) {
      this.#shown = this.#wanted;
      const data = { "text/markdown": this.#shown };
      await this.#renderer.renderModel(this.#registry.createModel({ data, trusted: false }));
    }
    this.#isBusy = false;
  }
}
