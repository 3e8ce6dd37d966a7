/**
 * The Merkle tree of RFC 6962 / RFC 9162 over SHA-256: roots, inclusion proofs, consistency proofs, and their verification.
 *
 * The twin of `oracle/audit/tree.py`, held to the same `tests/vectors/log_proofs.json`. As there, two things are refused that a literal
 * reading of RFC 9162 accepts: an inclusion in the empty tree, and a consistency proof from size 0.
 *
 * Hashes are 32 bytes; indices and sizes are bigints below 2^64; proofs run from the leaf's side to the root's.
 */

import { sha256 } from "@noble/hashes/sha2.js";

import { areEqual, concat, toHex } from "./bytes";
import { Rejected } from "./rejected";

export const HASH_BYTES = 32;
export const MAX_SIZE = (1n << 64n) - 1n;
export const EMPTY_ROOT = sha256(new Uint8Array());

/** (level, index) → hash of the complete subtree over the leaves index·2^level … (index+1)·2^level − 1. */
export type SubtreeReader = (level: number, index: bigint) => Promise<Uint8Array>;

export function hashLeaf(record: Uint8Array): Uint8Array {
  return sha256(concat(Uint8Array.of(0), record));
}

export function hashChildren(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(concat(Uint8Array.of(1), left, right));
}

// ---- verification -----------------------------------------------------------------------------------------------------------------

/** Returns when the leaf is number `index` of the tree of `size` leaves with this root. Throws Rejected otherwise. */
export function verifyInclusion(leafHash: Uint8Array, index: bigint, size: bigint, proof: Uint8Array[], root: Uint8Array): void {
  requireHash(leafHash, "leaf hash");
  requireHash(root, "root");
  requireSize(index, "index");
  requireSize(size, "tree size");
  requireProof(proof);
  if (index >= size) throw new Rejected("inclusion proof", `an index below the size ${size}`, index);
  const inner = bitLength(index ^ (size - 1n)); // below this height the path has siblings on both sides, above only on the left
  const border = bitCount(index >> BigInt(inner));
  if (proof.length !== inner + border) throw new Rejected("inclusion proof", `${inner + border} hashes`, proof.length);
  let computed = leafHash;
  proof.forEach((sibling, height) => {
    const isRight = height >= inner || isOdd(index >> BigInt(height));
    computed = isRight ? hashChildren(sibling, computed) : hashChildren(computed, sibling);
  });
  if (!areEqual(computed, root)) throw new Rejected("inclusion proof", `the root ${toHex(root)}`, toHex(computed));
}

/** Returns when the tree (size2, root2) extends the tree (size1, root1), size1 ≥ 1. Throws Rejected otherwise. */
export function verifyConsistency(size1: bigint, size2: bigint, proof: Uint8Array[], root1: Uint8Array, root2: Uint8Array): void {
  requireHash(root1, "first root");
  requireHash(root2, "second root");
  requireSize(size1, "first size");
  requireSize(size2, "second size");
  requireProof(proof);
  if (size1 < 1n || size1 > size2) throw new Rejected("consistency proof", "sizes with 1 ≤ first ≤ second", `${size1} and ${size2}`);
  if (size1 === size2) {
    if (proof.length) throw new Rejected("consistency proof", "0 hashes for equal sizes", proof.length);
    if (!areEqual(root1, root2)) throw new Rejected("consistency proof", `equal roots for equal sizes, ${toHex(root1)}`, toHex(root2));
    return;
  }
  foldConsistency(size1, size2, proof, root1, root2);
}

function foldConsistency(size1: bigint, size2: bigint, proof: Uint8Array[], root1: Uint8Array, root2: Uint8Array): void {
  const shift = BigInt(bitLength(size1 & -size1) - 1); // height of the largest complete subtree that ends where the first tree ends
  const isWhole = size1 === 1n << shift;
  const path = isWhole ? [root1, ...proof] : proof;
  const node = (size1 - 1n) >> shift;
  const inner = bitLength(node ^ ((size2 - 1n) >> shift));
  const expected = 1 + inner + bitCount(node >> BigInt(inner));
  const [start, ...siblings] = path;
  if (path.length !== expected || !start) throw new Rejected("consistency proof", `${expected - (isWhole ? 1 : 0)} hashes`, proof.length);
  let first = start;
  let second = start;
  siblings.forEach((sibling, height) => {
    if (height >= inner || isOdd(node >> BigInt(height))) {
      first = hashChildren(sibling, first);
      second = hashChildren(sibling, second);
    } else second = hashChildren(second, sibling);
  });
  if (!areEqual(first, root1)) throw new Rejected("consistency proof", `the first root ${toHex(root1)}`, toHex(first));
  if (!areEqual(second, root2)) throw new Rejected("consistency proof", `the second root ${toHex(root2)}`, toHex(second));
}

function requireHash(value: unknown, what: string): void {
  if (!(value instanceof Uint8Array) || value.length !== HASH_BYTES) {
    throw new Rejected(what, `${HASH_BYTES} bytes`, value instanceof Uint8Array ? `${value.length} bytes` : typeof value);
  }
}

function requireSize(value: unknown, what: string): void {
  if (typeof value !== "bigint" || value < 0n || value > MAX_SIZE)
    throw new Rejected(what, "an integer in 0 … 2^64 - 1", String(value).slice(0, 40));
}

function requireProof(proof: unknown): void {
  if (!Array.isArray(proof)) throw new Rejected("proof", "a list of hashes", typeof proof);
  proof.forEach((sibling, number) => requireHash(sibling, `proof hash ${number}`));
}

// ---- computation ------------------------------------------------------------------------------------------------------------------

/** MTH(D[start:end]) of RFC 6962, for a `start` that is a multiple of the least power of two ≥ end − start, and end > start. */
async function computeSubtree(start: bigint, end: bigint, read: SubtreeReader): Promise<Uint8Array> {
  const span = end - start;
  if ((span & (span - 1n)) === 0n) {
    const level = bitLength(span) - 1;
    return read(level, start >> BigInt(level));
  }
  const middle = start + split(span);
  return hashChildren(await computeSubtree(start, middle, read), await computeSubtree(middle, end, read));
}

/** The root of the first `size` leaves, from the hashes of complete subtrees. */
export async function computeRoot(size: bigint, read: SubtreeReader): Promise<Uint8Array> {
  return size ? computeSubtree(0n, size, read) : EMPTY_ROOT;
}

/** PATH(index, D[size]) of RFC 6962, for 0 ≤ index < size. */
export async function computeInclusion(index: bigint, size: bigint, read: SubtreeReader): Promise<Uint8Array[]> {
  const proof: Uint8Array[] = [];
  let [start, end] = [0n, size];
  while (end - start > 1n) {
    const middle = start + split(end - start);
    if (index < middle) {
      proof.unshift(await computeSubtree(middle, end, read));
      end = middle;
    } else {
      proof.unshift(await computeSubtree(start, middle, read));
      start = middle;
    }
  }
  return proof;
}

/** PROOF(size1, D[size2]) of RFC 6962, for 1 ≤ size1 ≤ size2. */
export async function computeConsistency(size1: bigint, size2: bigint, read: SubtreeReader): Promise<Uint8Array[]> {
  const proof: Uint8Array[] = [];
  let [start, end] = [0n, size2];
  while (size1 !== end) {
    const middle = start + split(end - start);
    if (size1 <= middle) {
      proof.unshift(await computeSubtree(middle, end, read));
      end = middle;
    } else {
      proof.unshift(await computeSubtree(start, middle, read));
      start = middle;
    }
  }
  if (start) proof.unshift(await computeSubtree(start, end, read)); // else the first tree's root is this hash, which the verifier knows
  return proof;
}

/** The largest power of two below `span`, for span ≥ 2. */
function split(span: bigint): bigint {
  return 1n << BigInt(bitLength(span - 1n) - 1);
}

function bitLength(value: bigint): number {
  return value === 0n ? 0 : value.toString(2).length;
}

function bitCount(value: bigint): number {
  return value.toString(2).replaceAll("0", "").length;
}

function isOdd(value: bigint): boolean {
  return (value & 1n) === 1n;
}
