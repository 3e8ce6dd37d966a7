/** C2SP tlog-proof: one file that proves that a record is in the log (c2sp.org/tlog-proof). */

import { concat, decodeBase64, decodeUtf8, encodeUtf8 } from "./bytes";
import { type Checkpoint, openCheckpoint, parseCheckpoint, readDecimal } from "./checkpoint";
import type { VerifierKey } from "./note";
import { Rejected } from "./rejected";
import { HASH_BYTES, hashLeaf, verifyInclusion } from "./tree";

const HEADER = "c2sp.org/tlog-proof@v1";
const MAX_PROOF_BYTES = 1 << 20;

export interface LogProof {
  index: bigint;
  hashes: Uint8Array[];
  /** The signed note, as it stands in the file. */
  note: Uint8Array;
  extra: Uint8Array | null;
}

/** Parses; verifies nothing. Throws Rejected. */
export function readProof(data: Uint8Array): LogProof {
  if (data.length > MAX_PROOF_BYTES) throw new Rejected("tlog-proof", `at most ${MAX_PROOF_BYTES} bytes`, data.length);
  const cut = findEmptyLine(data);
  const head = data.slice(0, Math.max(cut, 0));
  if (cut < 0 || head.some((byte) => byte > 0x7f))
    throw new Rejected("tlog-proof", "a header, an empty line and a checkpoint", "another form");
  const lines = decodeUtf8(head, "tlog-proof").split("\n");
  if (lines.shift() !== HEADER) throw new Rejected("tlog-proof", HEADER, "another first line");
  const extra = lines[0]?.startsWith("extra ") ? decodeBase64((lines.shift() ?? "").slice(6), "tlog-proof extra") : null;
  const index = readIndex(lines.shift() ?? "");
  const hashes = lines.map(readHash);
  const note = data.slice(cut + 2);
  parseCheckpoint(note);
  return { index, hashes, note, extra };
}

function findEmptyLine(data: Uint8Array): number {
  for (let at = 0; at + 1 < data.length; at++) if (data[at] === 0x0a && data[at + 1] === 0x0a) return at;
  return -1;
}

function readIndex(line: string): bigint {
  if (!line.startsWith("index ")) throw new Rejected("tlog-proof", "a line `index <decimal>`", JSON.stringify(line.slice(0, 40)));
  return readDecimal(line.slice(6), "tlog-proof index");
}

function readHash(line: string): Uint8Array {
  const hash = decodeBase64(line, "tlog-proof hash");
  if (hash.length !== HASH_BYTES) throw new Rejected("tlog-proof hash", `${HASH_BYTES} bytes`, hash.length);
  return hash;
}

/** The checkpoint, signed by `key`, under which `record` (or the file's own extra data) is proven to be in the log. Throws Rejected. */
export function verifyProof(proof: LogProof, key: VerifierKey, record: Uint8Array | null = proof.extra): Checkpoint {
  const checkpoint = openCheckpoint(proof.note, key);
  verifyPath(proof, checkpoint, record);
  return checkpoint;
}

/** The hashes of the file lead from the record to the checkpoint's root, whoever signed it. Throws Rejected. */
export function verifyPath(proof: LogProof, checkpoint: Checkpoint, record: Uint8Array | null): void {
  if (record === null) throw new Rejected("tlog-proof", "a record, given or as extra data", "none");
  verifyInclusion(hashLeaf(record), proof.index, checkpoint.size, proof.hashes, checkpoint.root);
}

/** For tests and exports: the file of a proof. */
export function writeProof(proof: LogProof, encode: (bytes: Uint8Array) => string): Uint8Array {
  const lines = [HEADER, ...(proof.extra ? [`extra ${encode(proof.extra)}`] : []), `index ${proof.index}`, ...proof.hashes.map(encode)];
  return concat(encodeUtf8(`${lines.join("\n")}\n\n`), proof.note);
}
