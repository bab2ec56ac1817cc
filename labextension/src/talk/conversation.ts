/** The list of all that was said in a chat: turns, notices, and what has not begun yet. */

import { arrange, make } from "../dom/elements.js";
import { trans } from "../dom/words.js";
import { pendingOf, type State } from "../kernel/state.js";
import type { Surroundings } from "./code_actions.js";
import { Follower } from "./following.js";
import { NoticeView, PendingView } from "./notices.js";
import { TurnView } from "./turns.js";

type View = TurnView | NoticeView | PendingView;

export class Conversation {
  readonly #empty = make("div", "jllm-empty");
  readonly #content = make("div", "jllm-content");
  readonly #log = make(
    "div",
    // What grows would be read out word by word; the announcer says it once it is finished.
    { className: "jllm-log", tabIndex: 0, role: "log", ariaLive: "off" },
    ...[this.#empty, this.#content],
  );
  readonly #follower: Follower;
  readonly element: HTMLDivElement;
  readonly #around: Surroundings;
  /** By kind and number or id, in their order. */
  #views = new Map<string, View>();
  readonly #viewOf = new WeakMap<Element, View>();
  readonly #observer: IntersectionObserver;

  constructor(around: Surroundings, signal: AbortSignal) {
    this.#around = around;
    this.#log.ariaLabel = trans.__("Conversation");
    this.#follower = new Follower(this.#log, this.#content, signal);
    this.element = make("div", "jllm-middle", this.#log, this.#follower.button);
    // The code that comes into sight is looked after: there may be more than anybody reads.
    const look = (entries: IntersectionObserverEntry[]) => {
      for (const { target, isIntersecting } of entries) {
        this.#viewOf.get(target)?.look(isIntersecting);
      }
    };
    this.#observer = new IntersectionObserver(look, { root: this.#log });
    signal.addEventListener("abort", () => {
      this.#observer.disconnect();
      // All of it goes, since not all of the panel does: an editor keeps the place of the selection,
      // and so what it is in.
      for (const view of this.#views.values()) view.dispose();
      this.#views.clear();
    });
  }

  /** Say what an empty list means. */
  setHint(hint: readonly HTMLElement[]): void {
    this.#empty.replaceChildren(...hint);
  }

  /** Bring everything into its order. What is there already stays the element that it was. */
  showAll(state: State): void {
    const { path, turns } = state.chat;
    const [notices, pending] = [Object.values(state.chat.notices), pendingOf(state)];
    const { activeElement: focused } = document;
    const place = [...this.#content.children].findIndex((child) => child.contains(focused));
    const hadFocus = this.#log.contains(focused);
    const shown = new Map<string, View>();
    for (const number of [0, ...path]) {
      const turn = turns[number];
      if (turn) {
        const key = `turn ${number}`;
        const view = this.#view(shown, key, () => new TurnView(number, this.#around));
        view.show(turn);
      }
      for (const notice of notices.filter(({ after }) => after === number)) {
        const key = `notice ${notice.id}`;
        this.#view(shown, key, () => new NoticeView(notice.id, this.#around)).show(notice);
      }
    }
    const isSent = pending.some(({ id }) => !this.#views.has(`pending ${id}`));
    for (const request of pending) {
      const key = `pending ${request.id}`;
      this.#view(shown, key, () => new PendingView(request.id, this.#around)).show(request);
    }
    const answered = notices.find(
      ({ id, is_finished: isFinished }) => isFinished && this.#views.has(`pending ${id}`),
    );
    this.#replaceViews(shown);
    this.#empty.hidden = shown.size > 0;
    if (isSent) this.#follower.follow();
    // It comes as a whole, so it is read from its start.
    const answer = shown.get(`notice ${answered?.id}`);
    if (answer) this.#follower.showStart(answer.element);
    if (hadFocus && !this.#log.contains(document.activeElement)) {
      this.#focusAgain(place, focused?.ariaLabel ?? null);
    }
  }

  /** Show a turn that has grown or changed, if it is in the list. */
  showTurn({ chat }: State, number: number): void {
    const [view, turn] = [this.#views.get(`turn ${number}`), chat.turns[number]];
    if (view instanceof TurnView && turn) view.show(turn);
  }

  #view<Kind extends View>(shown: Map<string, View>, key: string, create: () => Kind): Kind {
    const view = (this.#views.get(key) as Kind | undefined) ?? create();
    shown.set(key, view);
    return view;
  }

  #replaceViews(shown: Map<string, View>): void {
    for (const [key, view] of this.#views) {
      if (shown.has(key)) continue;
      this.#observer.unobserve(view.element);
      view.dispose();
    }
    arrange(
      this.#content,
      [...shown.values()].map(({ element }) => element),
    );
    for (const [key, view] of shown) {
      if (this.#views.has(key)) continue;
      this.#viewOf.set(view.element, view);
      this.#observer.observe(view.element);
    }
    this.#views = shown;
  }

  /** Take the focus along to the turn that has come to the place of the one it was in. */
  #focusAgain(place: number, name: string | null): void {
    const buttons = this.#content.children[place]?.querySelectorAll("button") ?? [];
    const same = [...buttons].find(({ ariaLabel }) => ariaLabel && ariaLabel === name);
    (same ?? this.#log).focus();
    this.#follower.stay(); // at the turn, however much follows it on this branch
  }
}
