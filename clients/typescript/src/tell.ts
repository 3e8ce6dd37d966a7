/** What somebody else sent, as an error may repeat it: short, of one line, and with nothing that a terminal obeys. */

const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

export function tell(value: unknown, most = 80): string {
  return asText(value).slice(0, most).replace(HIDDEN, "?");
}

function asText(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "bigint" || value === undefined) return String(value);
  try {
    return JSON.stringify(value); // never its own toString, which an object of JSON may have
  } catch {
    return "something too deep to be told";
  }
}
