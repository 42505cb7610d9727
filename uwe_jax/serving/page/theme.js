// Light or dark: what was chosen here, else what the system prefers. Runs before the page is drawn, so nothing flashes.
"use strict";
(() => {
  const stored = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const current = () => stored() || (prefersDark.matches ? "dark" : "light");
  const show = () => {
    document.documentElement.dataset.theme = current();
    const button = document.getElementById("theme");
    if (!button) return;
    const other = current() === "dark" ? "light" : "dark";
    button.textContent = other === "dark" ? "Dark" : "Light";
    button.setAttribute("aria-label", `Change to ${other} colours`);
  };
  show();
  prefersDark.addEventListener("change", show);
  document.addEventListener("DOMContentLoaded", () => {
    show();
    document.getElementById("theme")?.addEventListener("click", () => {
      try { localStorage.setItem("theme", current() === "dark" ? "light" : "dark"); } catch { /* not kept, then */ }
      show();
    });
  });
})();
