/**
 * The leaf as a record: the stamps that the log puts on it, and the forms of names and values. The twin of `parse_record` in
 * `oracle/audit/record.py`, except for one thing: which fields a record of its kind must have is left to the server's verification.
 */

import { parseHex } from "./bytes";
import { type Fields, parseCanonical } from "./canonical";
import { Rejected } from "./rejected";

const FORMAT = "affidavit/record@2";
const KINDS = [
  "intent",
  "result",
  "error",
  "receipt",
  "anchor",
  "clock",
  "config",
  "key_rotation",
  "override",
  "review",
  "disclosure",
  "hold",
  "erasure",
];
const MAX_FIELDS = 128;
const MAX_NAME = 100;
const MAX_STRING = 8192;
const MAX_LIST = 256;
const NAME = /^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$/;
const TIME = /^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z$/;
const WRITER = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** The fields of a record's bytes. Throws Rejected for bytes that the log would not have written. */
export function parseRecord(bytes: Uint8Array): Fields {
  const fields = parseCanonical(bytes);
  const names = Object.keys(fields);
  if (names.length > MAX_FIELDS) throw new Rejected("record", `at most ${MAX_FIELDS} fields`, names.length);
  for (const name of names) requireField(name, fields[name]);
  requireStamps(fields);
  requireLink(fields);
  if (fields["audit.sealed"] !== undefined) parseHex(fields["audit.sealed"], "audit.sealed", 32);
  return fields;
}

function requireField(name: string, value: unknown): void {
  if (name.length > MAX_NAME || !NAME.test(name))
    throw new Rejected("field name", "dotted lower-case words", JSON.stringify(name).slice(0, 120));
  const texts = Array.isArray(value) ? (value as string[]) : [value];
  const isLong =
    texts.length > MAX_LIST || texts.some((text) => typeof text === "string" && text.length > MAX_STRING && [...text].length > MAX_STRING);
  if (isLong) throw new Rejected(`field ${name}`, "a short string or list", "a long one");
}

function requireStamps(fields: Fields): void {
  const text = (name: string): string => (typeof fields[name] === "string" ? fields[name] : "");
  if (fields["audit.record"] !== FORMAT) throw new Rejected("record format", FORMAT, String(fields["audit.record"]));
  if (!KINDS.includes(text("audit.kind"))) throw new Rejected("record kind", "a known kind", String(fields["audit.kind"]));
  for (const name of ["audit.time", "audit.log.time"]) {
    if (!isTime(text(name))) throw new Rejected(name, "RFC 3339 in UTC with microseconds", String(fields[name]));
  }
  if (!WRITER.test(text("audit.writer")))
    throw new Rejected("writer name", "up to 64 of a–z, 0–9, dot, dash, underscore", String(fields["audit.writer"]));
  const sequence = fields["audit.sequence.writer"];
  if (typeof sequence !== "number" || sequence < 1) throw new Rejected("record sequence", "an integer from 1", String(sequence));
}

/** The form alone lets 30 February through, and the year 0. */
function isTime(text: string): boolean {
  if (!TIME.test(text) || text.startsWith("0000")) return false;
  const date = new Date(`${text.slice(0, 10)}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().slice(0, 10) === text.slice(0, 10);
}

/** Place and leaf of the record before stand together or not at all. */
function requireLink(fields: Fields): void {
  if (fields["audit.call.previous_index"] === undefined && fields["audit.call.previous_leaf"] === undefined) return;
  readPrevious(fields);
}

/** Place and leaf of the record of the same call before this one. Throws Rejected where there is none. */
export function readPrevious(fields: Fields): { index: bigint; leaf: Uint8Array } {
  const place = fields["audit.call.previous_index"];
  const isPlace = typeof place === "number" || typeof place === "string";
  if (!isPlace || !/^(0|[1-9][0-9]{0,15})$/.test(String(place)) || BigInt(place) >= 1n << 53n) {
    throw new Rejected("audit.call.previous_index", "an index below 2^53", String(place));
  }
  return { index: BigInt(place), leaf: parseHex(fields["audit.call.previous_leaf"], "audit.call.previous_leaf", 32) };
}
