/** RFC 8785 for what a record may hold: strings, whole numbers below 2^53, booleans, lists of strings, in one flat object. */

import { decodeUtf8 } from "./bytes";
import { Rejected } from "./rejected";

export type FieldValue = string | number | boolean | string[];
export type Fields = Record<string, FieldValue>;

/** JSON.stringify writes strings and whole numbers exactly as RFC 8785 asks; keys it leaves unsorted, so they are sorted here. */
export function canonicalJson(value: FieldValue | [string, FieldValue] | Fields): string {
  if (typeof value !== "object" || Array.isArray(value)) return JSON.stringify(value);
  const names = Object.keys(value).sort(); // by UTF-16 code units, as RFC 8785 3.2.3 says
  return `{${names.map((name) => `${JSON.stringify(name)}:${JSON.stringify(value[name])}`).join(",")}}`;
}

/** The fields of a record's bytes. Throws Rejected for bytes that are not their own canonical encoding. */
export function parseCanonical(bytes: Uint8Array): Fields {
  const text = decodeUtf8(bytes, "record");
  const value = parseJson(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Rejected("record", "a JSON object", typeof value);
  for (const [name, field] of Object.entries(value)) {
    if (!isFieldValue(field))
      throw new Rejected(`field ${name}`, "a string, an integer below 2^53, a boolean or a list of strings", typeof field);
  }
  if (canonicalJson(value as Fields) !== text) throw new Rejected("record", "a JSON object in RFC 8785 form", "another form");
  return value as Fields;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Rejected("record", "JSON", "another text");
  }
}

export function isFieldValue(value: unknown): value is FieldValue {
  if (typeof value === "number") return Number.isSafeInteger(value);
  if (typeof value === "string") return value.isWellFormed();
  return typeof value === "boolean" || (Array.isArray(value) && value.every((item) => typeof item === "string"));
}
