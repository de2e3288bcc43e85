// The form of a Silver or Gold dataset: names to choose from, what the chosen template can, faults at their fields.
(() => {
  "use strict";
  const { split } = window.assayOptions;
  const read = (id) => JSON.parse(document.getElementById(id)?.textContent || "{}");
  const form = () => document.querySelector("form[data-dataset-form]");
  const valueOf = (name) => form().elements[name]?.value ?? "";

  // --- names to choose from: aliases of the inputs, columns of the input that a field is about ------

  const offered = () => (offered.cache ??= read("offered"));

  const inputs = () => [...document.querySelectorAll("[data-inputs] [data-items] > [data-item]")].map((row) => ({
    alias: row.querySelector("[data-input-alias]").value.trim(),
    columns: offered()[row.querySelector("[data-input-dataset]").value.trim()] || [],
  })).filter((input) => input.alias);

  // The alias that stands in the same group of fields, or in one around it.
  function aliasFor(field) {
    for (let around = field.closest("[data-object]"); around; around = around.parentElement.closest("[data-object]")) {
      const alias = [...around.querySelectorAll("[data-alias]")].find((each) => each !== field && each.closest("[data-object]") === around);
      if (alias?.value) return alias.value;
    }
    return "";
  }

  function columnsFor(field) {
    const known = inputs();
    const one = known.find((input) => input.alias === aliasFor(field)) || (known.length === 1 && known[0]);
    if (one) return one.columns;
    const made = [...(field.closest("[data-template]")?.querySelectorAll("[name$='.key']") || [])].map((key) => key.value);
    return [...made, ...known.flatMap((input) => input.columns)];
  }

  function namesFor(field) {
    if (field.hasAttribute("data-alias")) return inputs().map((input) => input.alias);
    if (field.hasAttribute("data-result")) return [...form().querySelectorAll("[name=column_name]")].map((each) => each.value);
    return columnsFor(field);
  }

  document.addEventListener("focusin", (event) => {
    const field = event.target;
    if (!field.matches?.("input[data-column], input[data-alias], input[data-result]")) return;
    const taken = new Set(field.hasAttribute("data-entry") ? split(field.parentElement.querySelector("[type=hidden]").value) : []);
    const names = [...new Set(namesFor(field))].filter((name) => name && !taken.has(name));
    document.getElementById("as-names").replaceChildren(...names.map((name) => new Option(name, name)));
    field.setAttribute("list", "as-names");
  });

  // An alias that is left empty where there is no choice: the only input, or the next one that no other item has.
  function proposeAliases() {
    const aliases = inputs().map((input) => input.alias);
    form().querySelectorAll("section:not([hidden]) [data-alias]").forEach((field) => {
      const isStale = field.value === field.dataset.proposed && !aliases.includes(field.value);
      if ((field.value && !isStale) || field.dataset.cleared) return;
      const siblings = [...(field.closest("[data-items]")?.querySelectorAll("[data-alias]") || [])].map((each) => each.value);
      const free = aliases.filter((alias) => !siblings.includes(alias));
      if (aliases.length === 1) [field.value] = aliases;
      else if (field.closest("[data-item]") && free.length) [field.value] = free;
      field.dataset.proposed = field.value;
    });
  }

  // --- what the chosen template can --------------------------------------------------------------------

  const templates = () => (templates.cache ??= read("templates"));

  function allow(select, values) {
    if (!select || !values) return;
    [...select.options].forEach((option) => {
      const isAllowed = option.value === "default" || values.includes(option.value);
      option.hidden = option.disabled = !isAllowed;
    });
    if (select.selectedOptions[0]?.disabled) {
      select.value = [...select.options].find((option) => !option.disabled)?.value ?? "";
      window.assayForms.showParts(form());
    }
  }

  function follow(isChosenNow) {
    const facts = templates()[valueOf("transform_type")];
    if (!facts) return;
    const { refresh_mode: mode, engine, dataset_type: type, change_pattern: pattern } = form().elements;
    if (isChosenNow && facts.modes.length) mode.value = facts.modes[0];
    allow(mode, facts.modes);
    allow(engine, facts.engines);
    const rows = document.querySelectorAll("[data-inputs] [data-items] > [data-item]").length;
    document.querySelector("[data-inputs] [data-add-item]").hidden = facts.one_input && rows > 0;
    if (!isChosenNow) return;
    if (facts.dataset_type && !type.dataset.typed) type.value = facts.dataset_type;
    if (!pattern.dataset.typed) pattern.value = facts.change_pattern;
    window.assayForms.showParts(form());
  }

  // --- following what is typed -------------------------------------------------------------------------

  const quiet = new Set(["csrfmiddlewaretoken"]);

  function formChanged(field) {
    const check = document.getElementById("check");
    if (!form() || quiet.has(field?.name) || !check) return;
    document.getElementById("preview").classList.add("as-stale");
    htmx.trigger(check, "htmx:abort"); // its answer would overwrite what is being typed
    htmx.trigger(check, "form-changed");
  }

  document.addEventListener("input", (event) => {
    const field = event.target;
    if (!form()?.contains(field) || field.hasAttribute?.("data-entry")) return;
    field.dataset.typed = "yes";
    if (field.matches("[data-alias]") && !field.value) field.dataset.cleared = "yes";
    formChanged(field);
  });

  document.addEventListener("change", (event) => {
    const field = event.target;
    if (!form()?.contains(field) && field !== form()) return;
    if (field.name === "transform_type") follow(true);
    else follow(false);
    if (field.name === "transform_type" || field.matches("[data-input-dataset], [data-input-alias]")) proposeAliases();
    formChanged(field);
  });

  document.addEventListener("item-added", () => { proposeAliases(); follow(false); });

  // --- faults at their fields ----------------------------------------------------------------------------

  function placeOf(name) {
    const byPlace = document.querySelector(`[data-place="${CSS.escape(name)}"]`);
    if (byPlace) return byPlace;
    const field = form().elements[name];
    const one = field instanceof RadioNodeList ? field[0] : field;
    return one?.closest(".as-field, [data-place]");
  }

  function forget() {
    form().querySelectorAll(".fault").forEach((note) => note.remove());
    form().querySelectorAll(".invalid, .faulty").forEach((place) => place.classList.remove("invalid", "faulty"));
    form().querySelectorAll("[aria-invalid]").forEach((field) => field.removeAttribute("aria-invalid"));
  }

  // What is only missing yet is told at its field once somebody was there; the check names it in any case.
  function show(fault) {
    const place = fault.place && placeOf(fault.place);
    if (!place) return;
    const field = place.matches("fieldset, .as-item, .as-stack") ? null : place.querySelector("input:not([type=hidden]), select, textarea");
    if (fault.is_needed && !field?.dataset.visited) return;
    const note = document.createElement("p");
    note.className = "fault";
    note.textContent = fault.text;
    place.classList.add(field ? "invalid" : "faulty");
    const about = place.querySelector(":scope > .about");
    const head = place.querySelector(":scope > legend, :scope > .as-item-head");
    if (about) about.prepend(note);
    else if (head) head.after(note);
    else place.append(note);
    if (!field) return;
    note.id ||= `${field.id || field.name}_fault`;
    field.setAttribute("aria-invalid", "true");
    if (!field.hasAttribute("aria-describedby")) field.setAttribute("aria-describedby", about?.id || note.id);
  }

  document.addEventListener("focusout", (event) => {
    if (event.target.dataset && form()?.contains(event.target)) event.target.dataset.visited = "yes";
  });

  // --- tabs: arrows go from one to the next; the one that is open stays open -------------------------------

  function openTab(tab, andFocus = false) {
    const tabs = tab.closest("[data-tabs]");
    tabs.querySelectorAll("[role=tab]").forEach((each) => {
      const isOpen = each === tab;
      each.setAttribute("aria-selected", String(isOpen));
      each.tabIndex = isOpen ? 0 : -1;
      document.getElementById(each.getAttribute("aria-controls")).hidden = !isOpen;
    });
    if (andFocus) tab.focus();
  }

  function openTabs() {
    document.querySelectorAll("[data-tabs]").forEach((tabs) => {
      const wanted = openTabs.last && tabs.querySelector(`#${openTabs.last}`);
      const first = wanted || tabs.querySelector("[data-default]") || tabs.querySelector("[role=tab]");
      if (first) openTab(first);
    });
  }

  document.addEventListener("click", (event) => {
    const tab = event.target.closest?.("[data-tabs] [role=tab]");
    if (!tab) return;
    openTabs.last = tab.id;
    openTab(tab);
  });

  document.addEventListener("keydown", (event) => {
    const tab = event.target.closest?.("[data-tabs] [role=tab]");
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!tab || !step) return;
    const all = [...tab.parentElement.children];
    const next = all[(all.indexOf(tab) + step + all.length) % all.length];
    openTabs.last = next.id;
    openTab(next, true);
  });

  // For those who listen: the outcome alone, and only when it is another one than before.
  function say(place, selector) {
    const text = [...place.querySelectorAll(selector)].map((each) => each.innerText.trim()).join(" ");
    const said = document.getElementById("said");
    if (text && said.textContent !== text) said.textContent = text;
  }

  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id === "preview") {
      event.target.classList.remove("as-stale");
      say(event.target, ".as-error, footer");
    }
    if (event.target.id !== "check") return;
    say(event.target, ".as-state > :not([aria-hidden]), .as-error p");
    forget();
    [...read("check-faults")].forEach(show);
    openTabs();
  });

  document.addEventListener("DOMContentLoaded", () => {
    if (!form()) return;
    follow(false);
    proposeAliases();
    openTabs();
  });
})();
