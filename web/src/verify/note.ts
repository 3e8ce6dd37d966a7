/**
 * C2SP signed notes: text signed by one or more keys, read as strictly as in `oracle/audit/note.py`.
 *
 *     verifier key:  <name>+<key id, 8 hex digits>+<base64(type ‖ 32-byte public key)>
 *     key id:        SHA-256(<name> ‖ 0x0A ‖ type ‖ public key)[:4]
 *
 * Types: 0x01 is Ed25519 over the text; 0x04 is a witness's timestamped cosignature (c2sp.org/tlog-cosignature).
 */

import { ed25519 } from "@noble/curves/ed25519.js";
import { sha256 } from "@noble/hashes/sha2.js";

import { areEqual, concat, decodeBase64, decodeUtf8, encodeBase64, encodeUtf8, toHex } from "./bytes";
import { Rejected } from "./rejected";

export const ED25519 = 0x01;
export const COSIGNATURE = 0x04;
const MAX_NOTE_BYTES = 1 << 19;
const MAX_SIGNATURES = 100;
const DASH = "— ";

export interface NoteSignature {
  name: string;
  keyId: Uint8Array;
  data: Uint8Array;
}

export interface Note {
  /** With its final newline. */
  text: string;
  signatures: NoteSignature[];
}

export interface VerifierKey {
  name: string;
  type: number;
  publicKey: Uint8Array;
  keyId: Uint8Array;
}

export function computeKeyId(name: string, type: number, publicKey: Uint8Array): Uint8Array {
  return sha256(concat(encodeUtf8(`${name}\n`), Uint8Array.of(type), publicKey)).slice(0, 4);
}

export function encodeVkey(key: VerifierKey): string {
  return `${key.name}+${toHex(key.keyId).slice(2)}+${encodeBase64(concat(Uint8Array.of(key.type), key.publicKey))}`;
}

/** Throws Rejected. */
export function parseVkey(text: string, type: number = ED25519): VerifierKey {
  const first = text.indexOf("+");
  const second = text.indexOf("+", first + 1);
  if (first < 0 || second < 0) throw new Rejected("verifier key", "<name>+<key id>+<base64 key>", text.slice(0, 80));
  const name = requireName(text.slice(0, first));
  const material = decodeBase64(text.slice(second + 1), "verifier key");
  if (material.length !== 33 || material[0] !== type)
    throw new Rejected("verifier key", `the type byte ${type} and 32 bytes`, `${material.length} bytes`);
  const publicKey = material.slice(1);
  const keyId = computeKeyId(name, type, publicKey);
  const got = text.slice(first + 1, second);
  if (toHex(keyId).slice(2) !== got) throw new Rejected("verifier key id", toHex(keyId).slice(2), got.slice(0, 16));
  return { name, type, publicKey, keyId };
}

/** Key names are non-empty, without Unicode spaces, control characters and plus signs. */
function requireName(name: string): string {
  if (!name || /[+\s\u0000-\u001f\u0085]/u.test(name))
    throw new Rejected("key name", "a name without spaces and plus signs", JSON.stringify(name).slice(0, 80));
  return name;
}

/** The note of these bytes; says nothing about the truth of its signatures. Throws Rejected. */
export function parseNote(data: Uint8Array): Note {
  if (data.length > MAX_NOTE_BYTES) throw new Rejected("note", `at most ${MAX_NOTE_BYTES} bytes`, data.length);
  const whole = decodeUtf8(data, "note");
  if (/[\u0000-\u0009\u000b-\u001f]/.test(whole)) throw new Rejected("note", "no control characters but newline", "one");
  const cut = whole.lastIndexOf("\n\n");
  if (cut < 0 || !whole.endsWith("\n") || cut + 2 === whole.length) {
    throw new Rejected("note", "a text, an empty line and signature lines", "another form");
  }
  const lines = whole.slice(cut + 2, -1).split("\n");
  if (lines.length > MAX_SIGNATURES) throw new Rejected("note", `at most ${MAX_SIGNATURES} signatures`, lines.length);
  return { text: whole.slice(0, cut + 1), signatures: lines.map(parseSignature) };
}

function parseSignature(line: string): NoteSignature {
  if (!line.startsWith(DASH)) throw new Rejected("note signature line", "an em dash and a space", JSON.stringify(line.slice(0, 20)));
  const rest = line.slice(DASH.length);
  const space = rest.indexOf(" ");
  const [name, encoded] = space < 0 ? [rest, ""] : [rest.slice(0, space), rest.slice(space + 1)];
  const data = decodeBase64(encoded, "note signature");
  if (data.length < 5) throw new Rejected("note signature", "a key id and a signature", `${data.length} bytes`);
  return { name: requireName(name), keyId: data.slice(0, 4), data: data.slice(4) };
}

export function isSignatureOf(signature: NoteSignature, key: VerifierKey): boolean {
  return signature.name === key.name && areEqual(signature.keyId, key.keyId);
}

/** RFC 8032, without the malleability of ZIP 215: what OpenSSL and Go accept. */
export function isEd25519(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean {
  if (signature.length !== 64) return false;
  try {
    return ed25519.verify(signature, message, publicKey, { zip215: false });
  } catch {
    return false; // a key or signature that is no point of the curve
  }
}

/**
 * The note, with only the key's signatures, each of which was verified; others are ignored.
 * Throws Rejected for a malformed note, a false signature under the key, or none by it.
 */
export function verifyNote(data: Uint8Array, key: VerifierKey): Note {
  const note = parseNote(data);
  const own = note.signatures.filter((signature) => isSignatureOf(signature, key));
  for (const signature of own) {
    if (!isEd25519(signature.data, encodeUtf8(note.text), key.publicKey)) {
      throw new Rejected("note signature", `a signature of its text by ${encodeVkey(key)}`, "a false one");
    }
  }
  if (!own.length) throw new Rejected("note", `a signature by ${encodeVkey(key)}`, "none");
  return { text: note.text, signatures: own };
}
