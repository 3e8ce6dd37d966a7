/** The address is the state: path and filters live in it, by the history API, so that reload, back and a sent link show the same. */

import { useLayoutEffect, useState } from "preact/hooks";

export const BASE = "/audit";

export interface Place {
  /** Below BASE, beginning with "/". */
  path: string;
  query: URLSearchParams;
}

export function currentPlace(): Place {
  const { pathname, search } = window.location;
  const path = pathname.startsWith(BASE) ? pathname.slice(BASE.length) : pathname;
  return { path: path.replace(/\/+$/, "") || "/", query: new URLSearchParams(search) };
}

export function href(path: string, query: Record<string, string | number | null | undefined> = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    if (value !== null && value !== undefined && value !== "") search.set(name, String(value));
  const text = search.toString();
  return `${BASE}${path}${text ? `?${text}` : ""}`;
}

const changed = new EventTarget();

/** `url` as `href` makes it. Replacing leaves no step in the history: for filters that are being typed. */
export function navigate(url: string, isReplacing = false): void {
  if (isReplacing) window.history.replaceState(null, "", url);
  else window.history.pushState(null, "", url);
  changed.dispatchEvent(new Event("change"));
  if (!isReplacing) window.scrollTo(0, 0);
}

/** Listens before the browser can hand over another key or click, so that no change falls between the first render and the listening. */
export function usePlace(): Place {
  const [place, setPlace] = useState(currentPlace);
  useLayoutEffect(() => {
    const update = (): void => setPlace(currentPlace());
    window.addEventListener("popstate", update);
    changed.addEventListener("change", update);
    return () => {
      window.removeEventListener("popstate", update);
      changed.removeEventListener("change", update);
    };
  }, []);
  return place;
}

/** Links of ours change the address without loading the page again. Everything else, and every modified click, is the browser's. */
export function followLinks(event: MouseEvent): void {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const url = new URL(link.href, window.location.href);
  const isOurs = url.origin === window.location.origin && url.pathname.startsWith(BASE) && !url.pathname.startsWith(`${BASE}/v1`);
  if (!isOurs || link.target || link.hasAttribute("download") || url.hash) return;
  event.preventDefault();
  navigate(url.pathname + url.search);
}
