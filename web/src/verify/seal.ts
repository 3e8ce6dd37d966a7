/**
 * Sealed fields: a record holds one root over sixteen salted leaves; a disclosed field is opened against it. The twin of `oracle/audit/seal.py`.
 *
 *     leaf = SHA-256(0x00 ‖ salt (16 bytes) ‖ RFC 8785 JSON of [name, value])
 *     root = RFC 6962 root over exactly 16 leaves = the record's field `audit.sealed`
 */

import { concat, encodeUtf8, parseHex } from "./bytes";
import { type FieldValue, canonicalJson } from "./canonical";
import { Rejected } from "./rejected";
import { hashLeaf, verifyInclusion } from "./tree";

const SALT_BYTES = 16;
const LEAVES = 16;
const PATH_LENGTH = 4;

export interface Opening {
  name: string;
  value: FieldValue;
  salt: string;
  index: number;
  path: string[];
}

/** Returns when the field was sealed under this root, as it is shown. Throws Rejected otherwise. */
export function verifyOpening(opening: Opening, root: Uint8Array): void {
  const salt = parseHex(opening.salt, "opening salt", SALT_BYTES);
  if (!Number.isInteger(opening.index) || opening.index < 0 || opening.index >= LEAVES)
    throw new Rejected("opening index", "0 … 15", opening.index);
  if (!Array.isArray(opening.path) || opening.path.length !== PATH_LENGTH)
    throw new Rejected("opening path", `${PATH_LENGTH} hashes`, String(opening.path?.length));
  const path = opening.path.map((hash, at) => parseHex(hash, `opening path ${at}`, 32));
  const leaf = hashLeaf(concat(salt, encodeUtf8(canonicalJson([opening.name, opening.value]))));
  verifyInclusion(leaf, BigInt(opening.index), BigInt(LEAVES), path, root);
}
