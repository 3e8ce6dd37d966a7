/**
 * C2SP tlog-tiles: where each piece of the tree and of the entries lies, and its bytes (c2sp.org/tlog-tiles).
 *
 *     tile/<level>/<index>[.p/<width>]      hashes, 32 bytes each; level 0 holds leaf hashes, level n the roots of full tiles below
 *     tile/entries/<index>[.p/<width>]      entries, each with a big-endian uint16 length before it
 */

import { Rejected } from "./rejected";
import { HASH_BYTES, type SubtreeReader, hashChildren } from "./tree";

export const WIDTH = 256;
const HEIGHT = 8;
export const ENTRIES = -1;

export interface Tile {
  level: number;
  index: bigint;
  width: number;
}

/** The bytes of a tile of exactly that width. */
export type TileReader = (tile: Tile) => Promise<Uint8Array>;

export function tilePath(tile: Tile): string {
  const level = tile.level === ENTRIES ? "entries" : String(tile.level);
  return `tile/${level}/${encodeIndex(tile.index)}${tile.width === WIDTH ? "" : `.p/${tile.width}`}`;
}

/** Three digits a path element, all but the last after an "x": 1234067 is x001/x234/067. */
export function encodeIndex(index: bigint): string {
  const digits = index.toString();
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/.{3}/g) ?? [];
  return groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join("/");
}

/** The tile of that level and index in a tree of `size` leaves. Throws Rejected where there is none. */
export function tileAt(level: number, index: bigint, size: bigint): Tile {
  const left = (size >> BigInt(HEIGHT * Math.max(level, 0))) - index * BigInt(WIDTH);
  if (left < 1n) throw new Rejected("tile", `one of a tree of ${size}`, `tile ${index} of level ${level}`);
  return { level, index, width: left < BigInt(WIDTH) ? Number(left) : WIDTH };
}

/** The `width` entries of a bundle. Throws Rejected for a cut, padded or otherwise wrong bundle. */
export function parseBundle(data: Uint8Array, width: number): Uint8Array[] {
  const records: Uint8Array[] = [];
  let at = 0;
  while (at < data.length) {
    const length = ((data[at] ?? 0) << 8) | (data[at + 1] ?? 0);
    const record = data.slice(at + 2, at + 2 + length);
    if (at + 2 > data.length || record.length !== length)
      throw new Rejected("entry bundle", `${length} bytes in entry ${records.length}`, record.length);
    records.push(record);
    at += 2 + length;
  }
  if (records.length !== width) throw new Rejected("entry bundle", `${width} entries`, records.length);
  return records;
}

/** The `width` hashes of a tile. Throws Rejected for another length. */
export function parseTile(data: Uint8Array, width: number): Uint8Array[] {
  if (data.length !== width * HASH_BYTES) throw new Rejected("tile", `${width * HASH_BYTES} bytes`, data.length);
  return Array.from({ length: width }, (_, at) => data.slice(at * HASH_BYTES, (at + 1) * HASH_BYTES));
}

/**
 * The complete subtrees of a tree of `size` leaves, read from its tiles, each of which is read once.
 * Nothing read is trusted: what is computed from it must be held against a root.
 */
export function subtreeReader(size: bigint, readTile: TileReader): SubtreeReader {
  const tiles = new Map<string, Promise<Uint8Array[]>>();
  const hashesOf = (tile: Tile): Promise<Uint8Array[]> => {
    const path = tilePath(tile);
    const found = tiles.get(path) ?? readTile(tile).then((data) => parseTile(data, tile.width));
    tiles.set(path, found);
    return found;
  };
  return async (level, index) => {
    const height = level % HEIGHT;
    const first = index << BigInt(height); // among the hashes of that tile level
    const hashes = await hashesOf(tileAt(Math.floor(level / HEIGHT), first / BigInt(WIDTH), size));
    return hashRange(hashes, Number(first % BigInt(WIDTH)), 1 << height);
  };
}

/** The subtree over `count` (a power of two) hashes of one tile. */
function hashRange(hashes: Uint8Array[], start: number, count: number): Uint8Array {
  const only = hashes[start];
  if (!only || start + count > hashes.length) throw new Rejected("tile", `hashes up to ${start + count}`, hashes.length);
  if (count === 1) return only;
  return hashChildren(hashRange(hashes, start, count / 2), hashRange(hashes, start + count / 2, count / 2));
}
