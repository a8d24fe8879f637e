/* Small conveniences over pages that work without them: theme, menus, copying, one question before
   a form with data-confirm is sent, and no second send of the same form. */
(function () {
  "use strict";

  const root = document.documentElement;
  const all = (selector, within) => Array.from((within || document).querySelectorAll(selector));

  /* ----- Theme: kept in a cookie, so that the server draws the next page right at once ----- */

  function chooseTheme(value) {
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `theme=${value}; path=/; max-age=31536000; samesite=lax${secure}`;
    root.dataset.bsTheme = value;
    markTheme();
    document.dispatchEvent(new CustomEvent("portal:theme", { detail: value }));
  }

  function markTheme() {
    all("[data-theme-choice]").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === root.dataset.bsTheme));
    });
  }

  all("[data-theme-group]").forEach((group) => { group.hidden = false; });
  markTheme();

  /* ----- Menus are <details>: close them as people expect ----- */

  function closeMenus(except) {
    all("details.menu[open]").forEach((menu) => { if (menu !== except) menu.open = false; });
  }

  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });

  document.addEventListener("focusin", (event) => {
    closeMenus(event.target.closest("details.menu"));
  });

  /* ----- Copy ----- */

  async function copy(button) {
    const text = button.querySelector("[data-copy-text]");
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
      text.textContent = "Copied";
    } catch {
      // Without https the browser keeps the clipboard closed: select, so that Ctrl-C does it.
      getSelection().selectAllChildren(source);
      text.textContent = "Press Ctrl+C";
    }
    button.setAttribute("aria-live", "polite");
    setTimeout(() => { text.textContent = "Copy"; }, 2500);
  }

  function prepare(within) {
    all("[data-copy]", within).forEach((button) => { button.hidden = false; });
  }

  document.addEventListener("click", (event) => {
    closeMenus(event.target.closest("details.menu"));
    const copyButton = event.target.closest("[data-copy]");
    const themeButton = event.target.closest("[data-theme-choice]");
    if (copyButton) copy(copyButton);
    if (themeButton) chooseTheme(themeButton.dataset.themeChoice);
  });

  /* ----- Forms: ask first, send once ----- */

  const dialog = document.getElementById("confirm-dialog");

  function ask(form, submitter) {
    const label = submitter ? submitter.textContent.trim() : "Continue";
    const danger = Boolean(submitter && submitter.classList.contains("btn-danger"));
    const confirm = document.getElementById("confirm-button");
    document.getElementById("confirm-title").textContent = form.dataset.confirmTitle || `${label}?`;
    document.getElementById("confirm-text").textContent = form.dataset.confirm;
    confirm.textContent = label;
    confirm.classList.toggle("btn-danger", danger);
    confirm.classList.toggle("btn-primary", !danger);
    dialog.returnValue = "";
    dialog.addEventListener("close", () => {
      if (dialog.returnValue !== "confirm") return;
      form.dataset.confirmed = "yes";
      form.requestSubmit(submitter);
    }, { once: true });
    dialog.showModal();
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) {
      event.preventDefault();
    } else if (form.dataset.confirm && dialog && !form.dataset.confirmed) {
      event.preventDefault();
      ask(form, event.submitter);
    } else if (!event.defaultPrevented) {
      form.dataset.sent = "yes";
      if (event.submitter) event.submitter.classList.add("is-busy");
    }
  });

  // Back from Stripe or another page, the browser may show this one as it was left.
  addEventListener("pageshow", () => {
    all("form[data-sent]").forEach((form) => {
      delete form.dataset.sent;
      delete form.dataset.confirmed;
      all(".is-busy", form).forEach((button) => button.classList.remove("is-busy"));
    });
  });

  /* ----- htmx ----- */

  document.addEventListener("htmx:configRequest", (event) => {
    const token = document.querySelector('meta[name="csrf-token"]');
    if (token) event.detail.headers["X-CSRFToken"] = token.content;
  });
  document.addEventListener("htmx:afterSwap", (event) => prepare(event.target));

  /* ----- On arrival ----- */

  prepare(document);
  const summary = document.querySelector("[data-focus]");
  if (summary) summary.focus();
  all(".portal-nav [aria-current], .subnav [aria-current]").forEach((link) => {
    const row = link.closest("ul");
    row.scrollLeft = link.offsetLeft - (row.clientWidth - link.offsetWidth) / 2;
  });
})();
