// The SQL editor: Ace over the form's textarea, completing the inputs' aliases and columns.
(() => {
  "use strict";
  const base = document.currentScript.dataset.base;

  function inputs() {
    const offered = JSON.parse(document.getElementById("offered")?.textContent || "{}");
    return [...document.querySelectorAll("[data-inputs] [data-items] > [data-item]")].map((row) => ({
      alias: row.querySelector("[data-input-alias]").value,
      columns: offered[row.querySelector("[data-input-dataset]").value] || [],
    })).filter((input) => input.alias);
  }

  const completer = {
    getCompletions(editor, session, position, prefix, callback) {
      const before = session.getLine(position.row).slice(0, position.column - prefix.length);
      const qualifier = /([A-Za-z_][A-Za-z0-9_]*)\.$/.exec(before)?.[1];
      const found = [];
      for (const { alias, columns } of inputs()) {
        if (!qualifier) found.push({ caption: alias, value: alias, meta: "input", score: 1000 });
        if (!qualifier || qualifier === alias) {
          columns.forEach((name) => found.push({ caption: name, value: name, meta: alias, score: 900 }));
        }
      }
      callback(null, found);
    },
  };

  // Where the check found a fault: in the margin, with its words. What was found before is forgotten.
  function markFaults(editor, form) {
    const told = [...form.querySelectorAll("#preview .as-error li, #preview .as-error p, [data-sql-editor] ~ .fault, [data-sql-editor] ~ .about .fault")];
    const places = told.map((note) => [note.textContent.trim(), /Line (\d+), column (\d+)/.exec(note.textContent)]);
    editor.session.setAnnotations(places.filter(([, place]) => place).map(([text, place]) => (
      { row: place[1] - 1, column: place[2] - 1, text, type: "error" }
    )));
  }

  const isDark = () => document.documentElement.classList.contains("dark");

  function start(place) {
    const area = place.querySelector("textarea");
    const box = document.createElement("div");
    box.className = "as-ace";
    place.append(box);
    area.hidden = true;
    ace.config.set("basePath", `${base}`.replace(/\/$/, ""));
    const editor = ace.edit(box, {
      mode: "ace/mode/sql", value: area.value, minLines: 12, maxLines: 32, fontSize: 13, tabSize: 2, showPrintMargin: false,
      enableBasicAutocompletion: true, enableLiveAutocompletion: true, useWorker: false, highlightActiveLine: false,
    });
    editor.completers = [completer, ...(editor.completers || []).slice(1)];
    editor.textInput.getElement().setAttribute("aria-label", "SQL");
    editor.session.on("change", () => {
      area.value = editor.getValue();
      area.dispatchEvent(new Event("input", { bubbles: true }));
    });
    // Tab leaves the editor for whoever goes by keyboard.
    editor.commands.bindKey("Tab", null);
    editor.commands.bindKey("Shift-Tab", null);
    const mark = () => markFaults(editor, place.closest("form"));
    mark();
    document.addEventListener("htmx:afterSwap", (event) => { if (["preview", "check"].includes(event.target.id)) mark(); });
    const dress = () => editor.setTheme(isDark() ? "ace/theme/one_dark" : "ace/theme/tomorrow");
    dress();
    new MutationObserver(dress).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
    new ResizeObserver(() => editor.resize()).observe(box);
  }

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-sql-editor]").forEach(start));
})();
