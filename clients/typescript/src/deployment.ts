/**
 * Whether a deployment file is true: of the endpoint's chain, and naming the contracts that the contracts themselves name, from the
 * Coprocessor on. Of a false one a question would be signed for another chain, a fee paid to a stranger's contract, and an answer believed
 * for a stranger's operators. The twin of `oracle/relay/links.py`, as far as this client relies on contracts.
 */

import { type Address, type PublicClient, domainSeparator, getAddress, isAddress } from "viem";

import { Rejected, Unreachable } from "../../../web/src/verify/rejected";
import { COPROCESSOR, FEE_QUOTES, QUORUM_VERIFIER, VERIFIER_ROUTER } from "./abi";
import { type Deployment, QUORUM_ECDSA, typedDomain } from "./protocol";
import { tell } from "./tell";
import { isRevert } from "./verify";

const NEEDED = ["coprocessor", "operator_registry", "verifier_router"] as const;
const OPTIONAL = ["fee_quotes", "disputes"] as const;

/** Throws Rejected, naming what contradicts what; Unreachable where the endpoint does not answer. */
export async function checkDeployment(chain: PublicClient, at: Deployment): Promise<void> {
  requireShape(at);
  const chainId = await ask("chain id", () => chain.getChainId());
  if (BigInt(chainId) !== BigInt(at.chain_id)) throw new Rejected("chain id of the endpoint", `${at.chain_id}, as the deployment says`, chainId);
  const read = { address: at.coprocessor, abi: COPROCESSOR } as const;
  const separator = await ask("Coprocessor.DOMAIN_SEPARATOR", () => chain.readContract({ ...read, functionName: "DOMAIN_SEPARATOR" }));
  const expected = domainSeparator({ domain: typedDomain(at) });
  if (separator !== expected) throw new Rejected("EIP-712 domain of the Coprocessor", expected, separator);
  const router = await ask("Coprocessor.ROUTER", () => chain.readContract({ ...read, functionName: "ROUTER" }));
  requireNamed("verifier_router", at.verifier_router, router, "Coprocessor.ROUTER");
  if (at.disputes) {
    const disputes = await ask("Coprocessor.DISPUTES", () => chain.readContract({ ...read, functionName: "DISPUTES" }));
    requireNamed("disputes", at.disputes, disputes, "Coprocessor.DISPUTES");
  }
  await requireRegistry(chain, at);
}

/** The registry is the one whose seats the router's verifier of signatures counts; so is the one that prices are asked of. */
async function requireRegistry(chain: PublicClient, at: Deployment): Promise<void> {
  const route = { address: at.verifier_router, abi: VERIFIER_ROUTER, functionName: "routeOf", args: [QUORUM_ECDSA] } as const;
  const [verifier] = await ask("VerifierRouter.routeOf", () => chain.readContract(route));
  const seats = { address: verifier, abi: QUORUM_VERIFIER, functionName: "OPERATORS" } as const;
  requireNamed("operator_registry", at.operator_registry, await ask("QuorumVerifier.OPERATORS", () => chain.readContract(seats)), "QuorumVerifier.OPERATORS");
  if (!at.fee_quotes) return;
  const quotes = { address: at.fee_quotes, abi: FEE_QUOTES, functionName: "OPERATORS" } as const;
  requireNamed("operator_registry", at.operator_registry, await ask("FeeQuotes.OPERATORS", () => chain.readContract(quotes)), "FeeQuotes.OPERATORS");
}

function requireShape(at: Deployment): void {
  if (!isCount(at.chain_id) || BigInt(at.chain_id) === 0n) throw new Rejected("chain_id of the deployment", "a whole number", tell(at.chain_id));
  if (!isCount(at.block_number)) throw new Rejected("block_number of the deployment", "a whole number", tell(at.block_number));
  for (const name of [...NEEDED, ...OPTIONAL]) {
    const stated: unknown = at[name];
    const isLeftOut = (stated === undefined || stated === null) && !NEEDED.some((needed) => needed === name);
    if (!isLeftOut && !(typeof stated === "string" && isAddress(stated)))
      throw new Rejected(`${name} of the deployment`, "an address", tell(stated));
  }
}

function isCount(value: unknown): boolean {
  return typeof value === "bigint" ? value >= 0n : Number.isSafeInteger(value) && (value as number) >= 0;
}

function requireNamed(field: string, stated: Address, named: Address, by: string): void {
  if (getAddress(stated) !== getAddress(named)) throw new Rejected(`${field} of the deployment`, `${named}, which ${by} names`, stated);
}

async function ask<T>(what: string, question: () => Promise<T>): Promise<T> {
  try {
    return await question();
  } catch (error) {
    if (isRevert(error)) throw new Rejected(`${what} of the deployment`, "an answer of its contract", "none: another contract is there, or nothing");
    throw new Unreachable(`the RPC endpoint gives no answer to ${what}`, { cause: error });
  }
}
