// Live parts (hx-swap="live"): what the server draws anew is merged into what stands there. So focus, scrolling, ticks, text
// that is selected and a press that has just begun outlive it.
(() => {
  "use strict";

  // An element that means something else is another element: a press must never end on what it did not begin on.
  const MEANING = /^(hx-.*|id|data-key|href|action)$/;
  // What people or the browser set since, not the server.
  const THEIRS = { DETAILS: ["open"], DIALOG: ["open"] };

  const keyOf = (node) => node?.id || node?.dataset?.key || "";
  const meaningOf = (node) => [...(node.attributes || [])].filter((each) => MEANING.test(each.name)).map((each) => `${each.name}=${each.value}`).sort().join("\n");
  const isSame = (now, next) => now.nodeName === next.nodeName && meaningOf(now) === meaningOf(next);

  function merge(now, next, made) {
    if (!isSame(now, next)) {
      now.replaceWith(next);
      made.push(next);
    } else if (now.nodeType === Node.ELEMENT_NODE) {
      mergeAttributes(now, next);
      mergeChildren(now, next, made);
    } else if (now.data !== next.data) {
      now.data = next.data;
    }
  }

  function mergeAttributes(now, next) {
    const kept = THEIRS[now.nodeName] || (now.dataset.sent ? ["disabled", "data-sent"] : []);
    for (const { name } of [...now.attributes]) if (!next.hasAttribute(name) && !kept.includes(name)) now.removeAttribute(name);
    for (const { name, value } of next.attributes) if (now.getAttribute(name) !== value) now.setAttribute(name, value);
  }

  // Side by side; children with a key are only merged with their like, so that a new row above shifts none.
  function mergeChildren(now, next, made) {
    const wanted = new Set([...next.childNodes].map(keyOf));
    let place = now.firstChild;
    const leave = () => { const left = place; place = place.nextSibling; return left; };
    for (const child of [...next.childNodes]) {
      while (place && keyOf(place) && !wanted.has(keyOf(place))) leave().remove();
      if (place && keyOf(place) === keyOf(child)) merge(leave(), child, made);
      else made.push(now.insertBefore(child, place));
    }
    while (place) leave().remove();
  }

  // A part that asks less often, or no more, is another element to htmx: what stands in it moves over.
  function moveOver(now, next) {
    const focused = document.activeElement;
    next.replaceChildren(...now.childNodes);
    now.replaceWith(next);
    if (next.contains(focused)) focused.focus({ preventScroll: true });
  }

  htmx.defineExtension("live", {
    handleSwap(style, target, fragment, settling) {
      if (style !== "live") return false;
      const next = fragment.firstElementChild;
      const made = [];
      mergeChildren(target, next, made);
      if (isSame(target, next)) {
        mergeAttributes(target, next);
        return made;
      }
      moveOver(target, next);
      settling.elts.splice(0, settling.elts.length, next);
      return [next];
    },
  });
})();
