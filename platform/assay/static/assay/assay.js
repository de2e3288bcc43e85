// What all pages need: Ctrl-K, forms that do not leave twice, questions before what cannot be undone.
(() => {
  "use strict";

  // What is swapped in listens at once. By default htmx waits 20 ms, or longer on a busy machine, before it looks at new
  // content, and what a person chose or typed in between was lost.
  htmx.config.defaultSettleDelay = 0;

  const command = () => document.getElementById("as-command");

  function openCommand() {
    const dialog = command();
    if (!dialog || dialog.open) return;
    dialog.showModal();
    const input = dialog.querySelector("input");
    input.select();
    htmx.trigger(input, "search");
  }

  function move(step) {
    const items = [...command().querySelectorAll("li[role=option]")];
    if (!items.length) return;
    const now = items.findIndex((item) => item.getAttribute("aria-selected") === "true");
    const next = (now + step + items.length) % items.length;
    items.forEach((item, i) => item.setAttribute("aria-selected", String(i === next)));
    items[next].scrollIntoView({ block: "nearest" });
  }

  // Enter goes to what was typed, also where the answer is still on its way: never to what was found before.
  const found = { for: null, isAwaited: false };
  const typed = () => command().querySelector("input").value;

  function goToSelected() {
    found.isAwaited = found.for !== typed();
    if (found.isAwaited) htmx.trigger(command().querySelector("input"), "search");
    else command().querySelector("li[aria-selected=true] a")?.click();
  }

  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id !== "as-command-results") return;
    found.for = event.detail.requestConfig.parameters.s;
    if (found.isAwaited && found.for === typed()) goToSelected();
  });

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      openCommand();
    } else if (command()?.open) {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        move(event.key === "ArrowDown" ? 1 : -1);
      } else if (event.key === "Enter") {
        event.preventDefault();
        goToSelected();
      }
    }
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-open-command]")) openCommand();
    if (event.target === command()) command().close();
    const opener = event.target.closest?.("[data-open-dialog]");
    if (opener) document.getElementById(opener.dataset.openDialog).showModal();
    if (event.target.closest?.("[data-close-dialog]") || event.target.matches?.("dialog.as-dialog")) event.target.closest("dialog").close();
  });

  // A log-in in another tab changes the token: a form that was open before must not lose what is in it.
  const token = () => /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie)?.[1];

  document.addEventListener("htmx:configRequest", (event) => {
    const { parameters } = event.detail;
    if (token() && parameters.csrfmiddlewaretoken) parameters.csrfmiddlewaretoken = token();
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    const field = form.elements.csrfmiddlewaretoken;
    if (field && token()) field.value = token();
    if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) {
      event.preventDefault();
      return;
    }
    if (form.hasAttribute("data-once") && !event.defaultPrevented) {
      form.querySelectorAll("button[type=submit]").forEach((button) => { button.disabled = true; button.dataset.sent = "yes"; });
    }
  });

  // Coming back with the browser's button must not find dead buttons.
  addEventListener("pageshow", () => {
    document.querySelectorAll("form[data-once] button[data-sent]").forEach((button) => { button.disabled = false; });
  });
})();
