/** Asking our server. Every refusal is a problem document (RFC 9457) and becomes a `Problem` with words for people. */

export const API = "/audit/v1";

export class Problem extends Error {
  readonly status: number;
  readonly title: string;
  readonly detail: string;

  constructor(status: number, title: string, detail: string) {
    super(detail || title);
    this.name = "Problem";
    this.status = status;
    this.title = title;
    this.detail = detail;
  }
}

let csrf = "";

/** What `/me` gave: the server wants it with every change, so that no other site can make one. */
export function rememberCsrf(value: string | null | undefined): void {
  csrf = value ?? "";
}

const signedOut = new EventTarget();

/** Told whenever the server no longer knows who asks. */
export function onSignedOut(listener: () => void): () => void {
  signedOut.addEventListener("signed-out", listener);
  return () => signedOut.removeEventListener("signed-out", listener);
}

export async function get<T>(
  path: string,
  query: Record<string, string | number | null | undefined> = {},
  signal?: AbortSignal,
): Promise<T> {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    if (value !== null && value !== undefined && value !== "") search.set(name, String(value));
  const text = search.toString();
  return ask<T>(`${API}${path}${text ? `?${text}` : ""}`, signal ? { signal } : {});
}

export async function post<T>(path: string, body: unknown = {}): Promise<T> {
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (csrf) headers["x-affidavit-csrf"] = csrf;
  return ask<T>(`${API}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
}

/** Ends what the path names. */
export async function remove(path: string): Promise<void> {
  await ask<null>(`${API}${path}`, { method: "DELETE", headers: csrf ? { "x-affidavit-csrf": csrf } : {} });
}

async function ask<T>(url: string, init: RequestInit): Promise<T> {
  const response = await fetch(url, { credentials: "same-origin", ...init }).catch((error: unknown) => {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "No answer", "The server does not answer. Is the network up?");
  });
  if (!response.ok) throw await readProblem(response);
  return (response.status === 204 ? null : await response.json()) as T;
}

async function readProblem(response: Response): Promise<Problem> {
  if (response.status === 401) signedOut.dispatchEvent(new Event("signed-out"));
  const document = (await response.json().catch(() => ({}))) as { title?: unknown; detail?: unknown };
  const text = (value: unknown): string => (typeof value === "string" ? value : "");
  return new Problem(response.status, text(document.title) || `Status ${response.status}`, text(document.detail));
}

/** Where a file can be fetched, as a link's address. */
export function fileUrl(path: string, query: Record<string, string | number | null | undefined>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    if (value !== null && value !== undefined && value !== "") search.set(name, String(value));
  return `${API}${path}?${search.toString()}`;
}
