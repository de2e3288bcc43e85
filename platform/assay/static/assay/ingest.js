// The form of a source: a preview that follows it, uploads, and values that are picked from what the source has.
(() => {
  "use strict";
  const { showParts, slugOf } = window.assayForms;

  const formOf = (element) => element.closest?.("form[data-ingest-form]");
  const valueOf = (form, name) => form.elements[name]?.value?.trim?.() || "";

  // --- the preview -------------------------------------------------------------------------

  // Whether enough is known to look at the source without being asked. An API and a query are asked on request only,
  // and again when something changes about the columns that came.
  function isKnown(form) {
    switch (valueOf(form, "source_type")) {
      case "file_upload": return Boolean(form.querySelector("[name=upload]")?.value);
      case "file_local": return Boolean(valueOf(form, "path"));
      case "file_s3": return Boolean(valueOf(form, "s3_uri"));
      case "database": return ["db_connection", "db_table_name"].every((name) => valueOf(form, name)) && valueOf(form, "db_reads") === "table";
      default: return false;
    }
  }

  const wasAsked = (form, changed) => form.dataset.asked === "yes" && Boolean(changed.closest("[data-columns-card]"));

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-ingest-form] #preview-button");
    if (button) formOf(button).dataset.asked = "yes";
  });

  document.addEventListener("change", (event) => {
    const form = formOf(event.target);
    if (!form) return;
    if (event.target.name === "incremental_mode") proposeWriteMode(form);
    if (event.target.name === "path" || event.target.name === "s3_uri") proposeFormat(form, event.target.value);
    const isForm = event.target === form; // a row was removed
    const isQuiet = ["file", "table_search"].includes(event.target.name);
    if (!isQuiet && (isForm || event.target.closest("[data-previewed]")) && (isKnown(form) || wasAsked(form, event.target))) {
      htmx.trigger(document.body, "source-changed");
    }
  });

  // The answer to a preview that is on its way would overwrite what is being typed.
  document.addEventListener("input", (event) => {
    if (formOf(event.target) && event.target.closest("[data-columns-card]")) htmx.trigger("#preview", "htmx:abort");
  });

  // What is only new is added; whoever chose something else keeps it.
  function proposeWriteMode(form) {
    const mode = form.elements.write_mode;
    const isIncremental = form.elements.incremental_mode.value === "incremental";
    if (isIncremental && mode.value === "overwrite") mode.value = "append";
    showParts(form);
  }

  // --- uploads -------------------------------------------------------------------------------

  const FORMATS = {
    csv: "csv", tsv: "csv", txt: "csv", json: "json", ndjson: "ndjson", jsonl: "ndjson", parquet: "parquet",
    xlsx: "excel", xls: "excel", xlsb: "excel", ods: "excel",
  };

  function partsOf(fileName) {
    const parts = fileName.toLowerCase().replace(/\.(gz|zip|zst)$/, "").split(".");
    return { suffix: parts.length > 1 ? parts.pop() : "", stem: parts.join("_") };
  }

  function proposeFormat(form, fileName) {
    const { suffix } = partsOf(fileName);
    if (FORMATS[suffix]) form.elements.format.value = FORMATS[suffix];
    showParts(form);
  }

  document.addEventListener("htmx:xhr:progress", (event) => {
    const bar = event.target.id === "id_file" && document.getElementById("upload-bar");
    if (!bar || !event.detail.lengthComputable) return;
    bar.hidden = event.detail.loaded === event.detail.total;
    bar.value = (100 * event.detail.loaded) / event.detail.total;
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id !== "upload-state") return;
    const sent = document.querySelector("#upload-state [data-file-name]");
    const file = document.getElementById("id_file");
    if (!sent || !file) return;
    file.value = ""; // it is kept already: the form must not send it again
    const form = file.form;
    proposeFormat(form, sent.dataset.fileName);
    for (const [field, value] of Object.entries(JSON.parse(sent.dataset.guessed || "{}"))) {
      const element = form.elements[field];
      if (element?.type === "checkbox") element.checked = value;
      else if (element) element.value = value;
    }
    const name = form.elements.name;
    if (name && !name.disabled && !name.value) name.value = slugOf(partsOf(sent.dataset.fileName).stem);
    showParts(form);
  });

  document.addEventListener("dragover", (event) => event.target.closest?.("[data-drop]")?.classList.add("over"));
  for (const end of ["dragleave", "drop"]) {
    document.addEventListener(end, (event) => event.target.closest?.("[data-drop]")?.classList.remove("over"));
  }

  // --- values that are picked: a table, a column, the place of the records ---------------------

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-fill], [data-fill-more]");
    const form = button && formOf(button);
    if (!form) return;
    event.preventDefault();
    const { fill, fillMore, value, columns } = button.dataset;
    if (fillMore) addTo(form.elements[fillMore], value);
    else form.elements[fill].value = value;
    if (columns) offer(form, JSON.parse(columns), value);
    if (fill === "watermark_column") {
      form.elements.incremental_mode.value = "incremental";
      proposeWriteMode(form);
    }
    const filled = form.elements[fill || fillMore];
    filled.dispatchEvent(new Event("change", { bubbles: true }));
    if (fill === "api_records_path") form.querySelector("#test-request")?.click();
    filled.classList.add("as-filled");
    setTimeout(() => filled.classList.remove("as-filled"), 1200);
  });

  function addTo(field, value) {
    const names = field.value.split(",").map((name) => name.trim()).filter(Boolean);
    field.value = (names.includes(value) ? names.filter((name) => name !== value) : [...names, value]).join(", ");
  }

  // The columns of a table that was picked, to choose watermark and keys from; its name as the job's, if it has none.
  function offer(form, columns, table) {
    const list = document.getElementById("known-columns");
    list?.replaceChildren(...columns.map((column) => new Option(column.type, column.name)));
    const name = form.elements.name;
    if (!name.disabled && !name.value) name.value = slugOf(table.split(".").pop());
  }
})();
