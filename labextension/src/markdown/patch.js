/** Makes elements equal to others with as few changes as a growing text needs.
 *
 * What stays the same stays the same node, so that what a reader has selected stays selected.
 */

/**
 * What is special about some nodes.
 *
 * @typedef {object} Special
 * @property {(wanted: Node) => number} numKept
 *   How many children stay that a wanted node stands for without having them.
 * @property {(old: Node, next: Node) => boolean} keep  Make the old node show the next, if it can.
 * @property {(next: Node) => Node} make  Return what goes onto the page for the next.
 */

/** @type {Special} */
const NOTHING_SPECIAL = { numKept: () => 0, keep: () => false, make: (next) => next };

/**
 * Make the children of an element equal to those of a fragment, which is used up.
 *
 * @param {Node} parent
 * @param {Node} wanted
 * @param {Special} [special]
 */
export function patchChildren(parent, wanted, special = NOTHING_SPECIAL) {
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

/**
 * Make a node equal to another if they are of one kind; tell whether they were.
 *
 * @param {ChildNode} old
 * @param {ChildNode} next
 * @param {Special} special
 * @returns {boolean}
 */
function patchNode(old, next, special) {
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

/**
 * @param {Text} old
 * @param {string} text
 */
function patchText(old, text) {
  if (old.data === text) return;
  if (text.startsWith(old.data)) old.appendData(text.slice(old.data.length));
  else old.data = text;
}

/**
 * @param {Element} left
 * @param {Element} right
 * @returns {boolean}
 */
function haveEqualAttributes(left, right) {
  return (
    left.attributes.length === right.attributes.length &&
    Array.from(left.attributes).every(({ name, value }) => right.getAttribute(name) === value)
  );
}
