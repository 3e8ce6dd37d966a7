/** Bytes and their texts: hex, canonical base64, strict UTF-8. */

import { Rejected } from "./rejected";

export function toHex(bytes: Uint8Array): string {
  let text = "0x";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** Bytes of `0x…`, of exactly `length` where it is given. Throws Rejected. */
export function parseHex(text: unknown, what: string, length?: number): Uint8Array {
  if (typeof text !== "string" || !/^0x([0-9a-fA-F]{2})*$/.test(text))
    throw new Rejected(what, "0x and pairs of hex digits", describe(text));
  const bytes = Uint8Array.from(text.slice(2).match(/../g) ?? [], (pair) => parseInt(pair, 16));
  if (length !== undefined && bytes.length !== length) throw new Rejected(what, `${length} bytes`, bytes.length);
  return bytes;
}

export function encodeBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** RFC 4648 section 4 with padding, exactly as `encodeBase64` writes it: one value has one text. Throws Rejected. */
export function decodeBase64(text: string, what: string): Uint8Array {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw new Rejected(what, "base64", `${text.length} other characters`);
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  if (encodeBase64(bytes) !== text) throw new Rejected(what, "canonical base64", `${text.length} other characters`);
  return bytes;
}

/** Text of UTF-8 bytes, with a byte order mark kept as the character it is. Throws Rejected. */
export function decodeUtf8(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Rejected(what, "UTF-8", "other bytes");
  }
}

export function encodeUtf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

export function concat(...parts: Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

function describe(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value.slice(0, 40)) : typeof value;
}
