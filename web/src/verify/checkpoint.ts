/** C2SP checkpoints: a signed note whose text is origin, tree size and root (c2sp.org/tlog-checkpoint). */

import { areEqual, decodeBase64, toHex } from "./bytes";
import { type Note, type VerifierKey, parseNote, verifyNote } from "./note";
import { Rejected } from "./rejected";
import { EMPTY_ROOT, HASH_BYTES, MAX_SIZE } from "./tree";

export interface Checkpoint {
  origin: string;
  size: bigint;
  root: Uint8Array;
}

/** The checkpoint of these bytes, signed by the log whose origin is the key's name. Throws Rejected. */
export function openCheckpoint(data: Uint8Array, key: VerifierKey): Checkpoint {
  const checkpoint = readCheckpoint(verifyNote(data, key));
  if (checkpoint.origin !== key.name) throw new Rejected("checkpoint origin", key.name, checkpoint.origin.slice(0, 80));
  return checkpoint;
}

/** The checkpoint of these bytes, whoever signed it. Throws Rejected for a malformed one. */
export function parseCheckpoint(data: Uint8Array): Checkpoint {
  return readCheckpoint(parseNote(data));
}

function readCheckpoint(note: Note): Checkpoint {
  const lines = note.text.slice(0, -1).split("\n");
  const [origin, sizeText, rootText] = lines;
  if (!origin || !sizeText || !rootText || lines.includes("")) {
    throw new Rejected("checkpoint", "at least three non-empty lines", `${lines.length} lines`);
  }
  const root = decodeBase64(rootText, "checkpoint root");
  if (root.length !== HASH_BYTES) throw new Rejected("checkpoint root", `${HASH_BYTES} bytes`, `${root.length} bytes`);
  const size = readDecimal(sizeText, "checkpoint size");
  if (size === 0n && !areEqual(root, EMPTY_ROOT)) throw new Rejected("checkpoint root of an empty log", toHex(EMPTY_ROOT), toHex(root));
  return { origin, size, root };
}

/** A decimal below 2^64 without leading zeroes. Throws Rejected. */
export function readDecimal(text: string, what: string): bigint {
  if (!/^(0|[1-9][0-9]{0,19})$/.test(text) || BigInt(text) > MAX_SIZE) {
    throw new Rejected(what, "a decimal below 2^64 without leading zeroes", JSON.stringify(text.slice(0, 24)));
  }
  return BigInt(text);
}
