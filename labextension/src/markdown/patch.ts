/** Makes elements equal to others with as few changes as a growing text needs.
 *
 * An equal part stays the same node, so that a reader's selection stays.
 */

/** Exceptions for some nodes. */
interface Special {
  /** The number of children that stay though the wanted node does not have them. */
  numKept: (wanted: Node) => number;
  /** Make the old node show the next, if it can. */
  keep: (old: Node, next: Node) => boolean;
  /** Return the node that is put on the page for a wanted one. */
  make: (next: Node) => Node;
}

const NOTHING_SPECIAL: Special = { numKept: () => 0, keep: () => false, make: (next) => next };

/** Make the children of an element equal to those of a fragment, which is used up. */
export function patchChildren(
  parent: Node,
  wanted: Node,
  special: Special = NOTHING_SPECIAL,
): void {
  let old = parent.childNodes[special.numKept(wanted)] ?? null;
  for (const next of Array.from(wanted.childNodes)) {
    if (old && patchNode(old, next, special)) {
      old = old.nextSibling;
    } else {
      parent.insertBefore(special.make(next), old);
    }
  }
  while (old) {
    const following = old.nextSibling;
    old.remove();
    old = following;
  }
}

/** Make a node equal to another if they are of one kind; tell whether they were. */
function patchNode(old: ChildNode, next: ChildNode, special: Special): boolean {
  if (special.keep(old, next)) return true;
  if (old instanceof Text && next instanceof Text) {
    patchText(old, next.data);
    return true;
  }
  if (!(old instanceof HTMLElement && next instanceof HTMLElement)) return old.isEqualNode(next);
  if (old.tagName !== next.tagName || !haveEqualAttributes(old, next)) return false;
  patchChildren(old, next, special);
  return true;
}

function patchText(old: Text, text: string): void {
  if (old.data === text) return;
  if (text.startsWith(old.data)) old.appendData(text.slice(old.data.length));
  else old.data = text;
}

function haveEqualAttributes(left: Element, right: Element): boolean {
  return (
    left.attributes.length === right.attributes.length &&
    Array.from(left.attributes).every(({ name, value }) => right.getAttribute(name) === value)
  );
}
