/** Light, dark, or as the system says. Kept in this browser; set on the root element, where the style sheet looks. */

export type Theme = "system" | "light" | "dark";

const KEY = "affidavit.theme";

export function loadTheme(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : "system";
}

export function applyTheme(theme: Theme): void {
  if (theme === "system") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", theme);
}

export function saveTheme(theme: Theme): void {
  localStorage.setItem(KEY, theme);
  applyTheme(theme);
}
