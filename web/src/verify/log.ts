/** A log as the auditor's browser sees it: a verified checkpoint, and untrusted tiles held against it. */

import type { Checkpoint } from "./checkpoint";
import { Rejected, Unreachable } from "./rejected";
import { ENTRIES, type Tile, type TileReader, WIDTH, parseBundle, subtreeReader, tileAt, tilePath } from "./tiles";
import { HASH_BYTES, type SubtreeReader, computeConsistency, computeInclusion, hashLeaf, verifyConsistency, verifyInclusion } from "./tree";

/** Where a log's public files come from. */
export interface LogFiles {
  readCheckpoint(): Promise<Uint8Array>;
  /** The newest checkpoint that enough witnesses cosigned, null where there is none. */
  readWitnessed(): Promise<Uint8Array | null>;
  readTile: TileReader;
}

/** The files below an address, as C2SP tlog-tiles lays them out. */
export function filesAt(base: string, get: typeof fetch = fetch): LogFiles {
  const read = async (path: string, cache: RequestCache): Promise<Uint8Array | null> => {
    const url = `${base.replace(/\/$/, "")}/${path}`;
    const response = await get(url, { cache }).catch((error: unknown) => {
      throw new Unreachable(`${url} does not answer`, { cause: error });
    });
    if (response.status === 404) return null;
    if (!response.ok) throw new Unreachable(`${url} answers ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  };
  return {
    readCheckpoint: async () => {
      const data = await read("checkpoint", "no-store");
      if (!data) throw new Unreachable("the log shows no checkpoint");
      return data;
    },
    readWitnessed: () => read("witnessed", "no-store"),
    readTile: async (tile) => {
      const data = await read(tilePath(tile), "default");
      if (data) return data;
      const full = tile.width === WIDTH ? null : await read(tilePath({ ...tile, width: WIDTH }), "default");
      if (full) return cutFront(full, tile); // a partial tile is removed once the full one is published
      throw new Rejected("log", `its file ${tilePath(tile)}`, "none");
    },
  };
}

function cutFront(full: Uint8Array, tile: Tile): Uint8Array {
  if (tile.level !== ENTRIES) return full.slice(0, tile.width * HASH_BYTES);
  const records = parseBundle(full, WIDTH).slice(0, tile.width);
  return full.slice(
    0,
    records.reduce((sum, record) => sum + 2 + record.length, 0),
  );
}

/** One checkpoint of one log. */
export class LogView {
  readonly checkpoint: Checkpoint;
  private readonly files: LogFiles;
  private readonly subtree: SubtreeReader;
  private readonly bundles = new Map<bigint, Promise<Uint8Array[]>>();

  constructor(files: LogFiles, checkpoint: Checkpoint) {
    this.files = files;
    this.checkpoint = checkpoint;
    this.subtree = subtreeReader(checkpoint.size, files.readTile);
  }

  get size(): bigint {
    return this.checkpoint.size;
  }

  /** A record's bytes from its bundle, not yet held against anything. Throws Rejected. */
  async read(index: bigint): Promise<Uint8Array> {
    if (index < 0n || index >= this.size) throw new Rejected("entry index", `one below the size ${this.size}`, index);
    const number = index / BigInt(WIDTH);
    const tile = tileAt(ENTRIES, number, this.size);
    const bundle = this.bundles.get(number) ?? this.files.readTile(tile).then((data) => parseBundle(data, tile.width));
    this.bundles.set(number, bundle);
    const record = (await bundle)[Number(index % BigInt(WIDTH))];
    if (!record) throw new Rejected("entry bundle", `entry ${index}`, "none");
    return record;
  }

  /** The record's bytes are number `index` of this tree, by the tiles. Throws Rejected. */
  async verifyInclusion(index: bigint, record: Uint8Array): Promise<void> {
    const proof = await computeInclusion(index, this.size, this.subtree);
    verifyInclusion(hashLeaf(record), index, this.size, proof, this.checkpoint.root);
  }

  /** This tree extends an older head. Throws Rejected: a truncated, rewound or forked log. */
  async verifyExtends(size: bigint, root: Uint8Array, whose: string): Promise<void> {
    if (size > this.size) throw new Rejected("log", `at least the ${size} entries of ${whose}`, this.size);
    if (size === 0n) return; // every log extends the empty one, whose root was checked when the checkpoint was read
    verifyConsistency(size, this.size, await computeConsistency(size, this.size, this.subtree), root, this.checkpoint.root);
  }
}
