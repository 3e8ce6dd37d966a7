/** What is read from the chain, from an RPC endpoint that the auditor trusts: anchored heads and transactions. Never from our own server. */

import { type Address, type Hex, createClient, encodeAbiParameters, http, keccak256, stringToBytes } from "viem";
import { getChainId, getTransactionReceipt, readContract } from "viem/actions";

import { parseHex, toHex } from "./bytes";
import { Rejected, Unreachable } from "./rejected";

const ANCHOR_ABI = [
  {
    type: "function",
    name: "latest",
    stateMutability: "view",
    inputs: [{ name: "logId", type: "bytes32" }],
    outputs: [
      { name: "size", type: "uint64" },
      { name: "root", type: "bytes32" },
    ],
  },
] as const;

export interface Head {
  size: bigint;
  root: Uint8Array;
}

export interface TransactionFound {
  blockNumber: bigint;
  blockHash: string;
  hasSucceeded: boolean;
}

/** The seam to the chain. Everything throws Unreachable when the endpoint does not answer. */
export interface Chain {
  readChainId(): Promise<number>;
  /** The newest head of a log that the AuditAnchor contract accepted; size 0 where it has none. */
  readHead(contract: string, logId: string): Promise<Head>;
  findTransaction(hash: string): Promise<TransactionFound | null>;
}

/** A log is its origin and the key that may anchor it: keccak256(abi.encode(keccak256(origin), anchorKey)), as in AuditAnchor.sol. */
export function computeLogId(origin: string, anchorKey: string): string {
  parseHex(anchorKey, "anchor key", 20);
  const key = anchorKey.toLowerCase() as Address;
  return keccak256(encodeAbiParameters([{ type: "bytes32" }, { type: "address" }], [keccak256(stringToBytes(origin)), key]));
}

export function chainAt(url: string): Chain {
  const client = createClient({ transport: http(url, { timeout: 10_000, retryCount: 1 }) });
  return {
    readChainId: () => reaching(url, () => getChainId(client)),
    readHead: async (contract, logId) => {
      const address = toHex(parseHex(contract, "AuditAnchor", 20)) as Address;
      const [size, root] = await reaching(url, () =>
        readContract(client, { address, abi: ANCHOR_ABI, functionName: "latest", args: [logId as Hex] }),
      );
      return { size, root: parseHex(root, "anchored root", 32) };
    },
    findTransaction: (hash) =>
      reaching(url, async () => {
        const receipt = await getTransactionReceipt(client, { hash: hash as Hex }).catch(nullWhenNotFound);
        return receipt && { blockNumber: receipt.blockNumber, blockHash: receipt.blockHash, hasSucceeded: receipt.status === "success" };
      }),
  };
}

function nullWhenNotFound(error: unknown): null {
  if (error instanceof Error && error.name === "TransactionReceiptNotFoundError") return null;
  throw error;
}

/** Translates what went wrong: a contract that answers nonsense is no AuditAnchor; anything else is an endpoint that does not answer. */
async function reaching<T>(url: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    const first = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
    if (
      error instanceof Error &&
      error.name === "ContractFunctionExecutionError" &&
      /returned no data|reverted|out of bounds/.test(first)
    ) {
      throw new Rejected("AuditAnchor contract", "an answer to latest(logId)", first);
    }
    throw new Unreachable(`the RPC endpoint ${url} gives no answer: ${first}`, { cause: error });
  }
}
