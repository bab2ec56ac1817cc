/** The bar at the foot of a notebook in which several cells have proposals. */

import { Widget } from "@lumino/widgets";
import { make, makeButton, setText } from "../dom/elements.js";
import { trans } from "../dom/words.js";

/** What can be done with all proposals of a notebook. */
export interface Decisions {
  acceptAll(): void;
  rejectAll(): void;
  goNext(): void;
}

/** Make the bar. Its `show` takes the numbers of cells to change, add, delete, and wait for. */
export function createReview(decisions: Decisions) {
  const status = make("span", "jllm-action-said");
  status.setAttribute("role", "status");
  const className = "jllm-mod-main";
  const buttons = [
    makeButton(trans.__("Next"), () => decisions.goNext()),
    makeButton(trans.__("Accept all"), () => decisions.acceptAll(), { className }),
    makeButton(trans.__("Reject all"), () => decisions.rejectAll()),
  ];
  const widget = new Widget({ node: make("div", "jllm-review", status, ...buttons) });
  widget.node.setAttribute("role", "region");
  widget.node.setAttribute("aria-label", trans.__("Proposals in this notebook"));
  widget.hide();
  return {
    widget,
    show(numChanged: number, numNew: number, numDeleted: number, numWaiting: number): void {
      const counts = [
        numChanged && trans._n("%1 cell changed", "%1 cells changed", numChanged),
        numNew && trans._n("%1 new", "%1 new", numNew),
        numDeleted && trans._n("%1 deleted", "%1 deleted", numDeleted),
        numWaiting && trans._n("%1 to come", "%1 to come", numWaiting),
      ];
      widget.setHidden(numChanged + numNew + numDeleted + numWaiting < 2);
      // A status is read out if it changes after it came to the page.
      requestAnimationFrame(() => setText(status, counts.filter(Boolean).join(", ")));
    },
  };
}
