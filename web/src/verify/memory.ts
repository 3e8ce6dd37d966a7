/** The largest checkpoint this browser has seen of each log. A log that shows less later, or something else, has forked or gone back. */

import { toHex } from "./bytes";
import type { Checkpoint } from "./checkpoint";
import type { Head } from "./chain";

export interface Memory {
  recall(vkey: string): Head | null;
  keep(vkey: string, checkpoint: Checkpoint): void;
}

const PREFIX = "affidavit.seen.";

export function memoryIn(storage: Storage): Memory {
  const recall = (vkey: string): Head | null => {
    const [size, root] = (storage.getItem(PREFIX + vkey) ?? "").split(" ");
    if (!size || !root || !/^[0-9]+$/.test(size) || !/^0x[0-9a-f]{64}$/.test(root)) return null;
    return { size: BigInt(size), root: Uint8Array.from(root.slice(2).match(/../g) ?? [], (pair) => parseInt(pair, 16)) };
  };
  return {
    recall,
    keep: (vkey, checkpoint) => {
      if (checkpoint.size > (recall(vkey)?.size ?? 0n)) storage.setItem(PREFIX + vkey, `${checkpoint.size} ${toHex(checkpoint.root)}`);
    },
  };
}
