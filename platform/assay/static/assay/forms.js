// Forms: parts that depend on a choice, rows that are added and removed, names made from names, refusals that are seen.
(() => {
  "use strict";

  function valueOf(form, name) {
    const field = form.elements[name];
    if (!field) return undefined;
    return field instanceof RadioNodeList || field.type !== "checkbox" ? field.value : String(field.checked);
  }

  function showParts(form) {
    form.querySelectorAll("[data-show]").forEach((part) => {
      const [name, value] = part.dataset.show.split("=");
      part.hidden = !value.split("|").includes(valueOf(form, name));
    });
  }

  const slugOf = (text) => text.toLowerCase().normalize("NFKD").replace(/[^a-z0-9_-]+/g, "_").replace(/^[^a-z]+|_+$/g, "").slice(0, 80);

  // --- an address made from a name, as long as nobody typed one ------------------------

  document.addEventListener("input", (event) => {
    const field = event.target;
    document.querySelectorAll(`[data-slug-of="${field.id}"]`).forEach((slug) => {
      if (!slug.disabled && !slug.dataset.typed) slug.value = slugOf(field.value);
    });
    if (field.dataset?.slugOf) field.dataset.typed = "yes";
    if (field.closest?.("[data-rows=columns]")) declareTypes(field.form);
    if (field.matches?.("[data-input-dataset]")) proposeAlias(field);
  });

  function declareTypes(form) {
    const own = { schema_mode: "user", types_from: "person" };
    for (const [name, value] of Object.entries(own)) {
      if (form.elements[name]) form.elements[name].value = value;
    }
  }

  function proposeAlias(field) {
    const alias = field.closest("[data-item]").querySelector("[data-input-alias]");
    const last = alias.dataset.proposed || "";
    if (alias.value !== last) return;
    alias.value = field.value.split(".").pop().replace(/[^A-Za-z0-9_]/g, "_");
    alias.dataset.proposed = alias.value;
  }

  // --- rows -----------------------------------------------------------------------------

  document.addEventListener("click", (event) => {
    const add = event.target.closest?.("[data-add-row]");
    const remove = event.target.closest?.("[data-remove-row]");
    if (add) {
      const body = document.querySelector(`[data-rows="${add.dataset.addRow}"] tbody`);
      const row = document.getElementById(`${add.dataset.addRow}-row`).content.firstElementChild.cloneNode(true);
      body.append(row);
      row.querySelector("input")?.focus();
    }
    if (remove) {
      const form = remove.closest("form");
      const table = remove.closest("[data-rows]");
      remove.closest("tr").remove();
      if (table.dataset.rows === "columns") declareTypes(form);
      form.dispatchEvent(new Event("change"));
    }
  });

  // --- what is shown ----------------------------------------------------------------------

  document.addEventListener("change", (event) => {
    const form = event.target.closest?.("form");
    if (!form) return;
    showParts(form);
    if (form.hasAttribute("data-auto-submit")) form.requestSubmit();
  });

  // A refusal that htmx got back must be seen, not swallowed.
  document.addEventListener("htmx:responseError", (event) => {
    const { target, xhr } = event.detail;
    if (xhr.getResponseHeader("HX-Redirect")) return; // the browser is leaving already
    const note = document.createElement("p");
    note.className = "as-error";
    note.setAttribute("role", "alert");
    const { status } = xhr;
    note.textContent = status === 401
      ? "You are logged out. Log in in another tab, then try again here: nothing you wrote is lost."
      : `The server refused this (${status}). Reload the page and try again.`;
    target.replaceChildren(note);
  });

  // No answer at all: the place says so instead of staying as it was.
  document.addEventListener("htmx:sendError", (event) => {
    const note = document.createElement("p");
    note.className = "as-error";
    note.setAttribute("role", "alert");
    note.textContent = "The server cannot be reached. What you wrote is still here; try again in a moment.";
    event.detail.target.replaceChildren(note);
  });

  window.assayForms = { showParts, slugOf };

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("form").forEach(showParts);
    document.querySelector("[data-autofocus]")?.focus();
  });
})();
