// Fields made from declared options: items that are added and removed, lists as chips, parts that may be left out.
(() => {
  "use strict";

  const changed = (element) => {
    element.dispatchEvent(new Event("input", { bubbles: true }));
    element.dispatchEvent(new Event("change", { bubbles: true }));
  };

  // --- items of a list ------------------------------------------------------------------------

  // The number only tells items apart; one that was used is not used again.
  function nextNumber(list) {
    const prefix = `${list.dataset.place}.`;
    const names = [...list.querySelectorAll("[name]")].map((field) => field.name).filter((name) => name.startsWith(prefix));
    const used = names.map((name) => parseInt(name.slice(prefix.length), 10)).filter(Number.isInteger);
    const next = Math.max(Number(list.dataset.next || 0), ...used.map((number) => number + 1), 0);
    list.dataset.next = next + 1;
    return next;
  }

  function addItem(list) {
    const blank = list.querySelector(":scope > template");
    const made = document.createElement("template");
    made.innerHTML = blank.innerHTML.replaceAll(blank.dataset.placemark, nextNumber(list));
    const item = made.content.firstElementChild;
    list.querySelector(":scope > [data-items]").append(item);
    dress(item);
    count(list);
    item.dispatchEvent(new Event("item-added", { bubbles: true }));
    item.querySelector("input:not([type=hidden]), select, textarea")?.focus();
  }

  function removeItem(item) {
    const list = item.closest("[data-list]");
    const other = item.nextElementSibling || item.previousElementSibling;
    item.remove();
    count(list);
    (other?.querySelector("input:not([type=hidden]), select, textarea") || list.querySelector(":scope > div > [data-add-item]"))?.focus();
    list.closest("form").dispatchEvent(new Event("change", { bubbles: true }));
  }

  function count(list) {
    list.querySelectorAll(":scope > [data-items] > [data-item] > .as-item-head [data-count]").forEach((label, i) => {
      label.textContent = `${label.textContent.replace(/ \d+$/, "")} ${i + 1}`;
    });
  }

  document.addEventListener("click", (event) => {
    const add = event.target.closest?.("[data-add-item]");
    const remove = event.target.closest?.("[data-remove-item]");
    if (add) addItem(add.closest("[data-list]"));
    if (remove) removeItem(remove.closest("[data-item]"));
  });

  document.addEventListener("change", (event) => {
    const box = event.target;
    if (box.matches?.("[data-toggles]")) box.closest("fieldset").querySelector(":scope > [data-toggled]").hidden = !box.checked;
    if (box.matches?.("[data-chooses]")) {
      box.closest("[data-either]").querySelectorAll(":scope > [data-variant]").forEach((part) => { part.hidden = part.dataset.variant !== box.value; });
    }
  });

  // --- a list of names as chips: a comma or Enter ends a name, Backspace takes back the last --------

  function split(text) {
    const names = [];
    for (const [, quoted, plain] of text.matchAll(/\s*(?:"((?:[^"]|"")*)"|([^,]+))\s*(?:,|$)/g)) {
      const name = quoted === undefined ? plain.trim() : quoted.replaceAll('""', '"').trim();
      if (name) names.push(name);
    }
    return names;
  }

  const quoted = (name) => (/[,"]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name);

  function makeChips(field) {
    const box = document.createElement("div");
    const entry = document.createElement("input");
    const chips = document.createElement("span");
    box.className = "as-chips";
    chips.className = "as-chips-list";
    for (const name of ["id", "aria-describedby", "aria-invalid", "aria-label", "list", "data-column", "data-alias", "data-result"]) {
      if (field.hasAttribute(name)) entry.setAttribute(name, field.getAttribute(name));
      field.removeAttribute(name);
    }
    entry.placeholder = field.placeholder || "";
    entry.autocomplete = "off";
    entry.spellcheck = false;
    entry.dataset.entry = "";
    field.type = "hidden";
    field.removeAttribute("data-chips");
    field.before(box);
    box.append(chips, entry, field);

    function draw() {
      chips.replaceChildren(...split(field.value).map((name) => {
        const chip = document.createElement("span");
        chip.className = "as-chip";
        const remove = document.createElement("button");
        remove.type = "button";
        remove.textContent = "×";
        remove.setAttribute("aria-label", `Remove ${name}`);
        remove.addEventListener("click", () => { set(split(field.value).filter((each) => each !== name)); entry.focus(); });
        chip.append(name, remove);
        return chip;
      }));
      entry.classList.toggle("short", chips.childElementCount > 0);
    }

    function set(names) {
      field.value = [...new Set(names)].map(quoted).join(", ");
      draw();
      changed(field);
    }

    function take() {
      const names = split(entry.value);
      entry.value = "";
      if (names.length) set([...split(field.value), ...names]);
    }

    entry.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === ",") {
        event.preventDefault();
        take();
      } else if (event.key === "Backspace" && !entry.value) {
        set(split(field.value).slice(0, -1));
      }
    });
    entry.addEventListener("input", (event) => {
      const isPicked = !event.inputType || event.inputType === "insertReplacementText"; // out of the list
      if (isPicked && [...(entry.list?.options || [])].some((option) => option.value === entry.value)) take();
      else if (entry.value.includes(",")) take();
    });
    entry.addEventListener("blur", take);
    box.addEventListener("click", (event) => { if (event.target === box || event.target === chips) entry.focus(); });
    draw();
  }

  function dress(root) {
    root.querySelectorAll("input[data-chips]").forEach(makeChips);
    root.querySelectorAll("[data-list]").forEach(count);
  }

  window.assayOptions = { split, dress };
  document.addEventListener("DOMContentLoaded", () => dress(document));
})();
