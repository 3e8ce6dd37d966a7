/** Disputed answers: what a committee decides about them, from the chain alone. The twin of `oracle/pipeline/disputing.py`. */

import { type Address, type Hex, type PublicClient } from "viem";

import { Rejected } from "../../../web/src/verify/rejected";
import { COPROCESSOR, DISPUTES } from "./abi";
import { type Deployment, type Request, packPolicy, unpackPolicy } from "./protocol";
import { readPending } from "./verify";

/** IDisputes.sol, in its order. */
const OUTCOME = ["NONE", "OPEN", "STANDS", "REPLACED", "NO_MAJORITY", "LAPSED", "SUPERSEDED"] as const;
const PHASE = ["NONE", "DRAWING", "COMMITTING", "REVEALING", "CLOSED"] as const;

/** A dispute or an audit, and what it came to. Times are Unix seconds, in each the first that is too late; 0 before the draw. */
export interface Dispute {
  outcome: (typeof OUTCOME)[number];
  phase: (typeof PHASE)[number];
  /** What holds, where more than half of the committee said so; else zeros. */
  outputDigest: Hex;
  challenger: Address;
  isAudit: boolean;
  drawEndsAt: bigint;
  commitEndsAt: bigint;
  revealEndsAt: bigint;
  /** 0 while it is open. */
  closedAt: bigint;
  members: readonly Address[];
  /** The members who voted for `outputDigest`. */
  majority: readonly Address[];
}

/** What a dispute takes: everything that `Disputes.open` is told. */
export interface Disputable {
  request: Request;
  beneficiaries: readonly Address[];
}

/** Throws Rejected where the deployment was made before there were disputes. */
export function disputesOf(at: Deployment): Address {
  if (!at.disputes) throw new Rejected("disputes of the deployment", "an address", "none");
  return at.disputes;
}

/** Before a bond is paid: a false deployment could name a stranger's contract. Throws Rejected unless it is the Coprocessor's own. */
export async function requireDisputes(chain: PublicClient, at: Deployment): Promise<void> {
  const stated = disputesOf(at);
  const named = await chain.readContract({ address: at.coprocessor, abi: COPROCESSOR, functionName: "DISPUTES" });
  if (named.toLowerCase() !== stated.toLowerCase()) throw new Rejected("disputes of the deployment", `${named}, as the Coprocessor names them`, stated);
}

/** The bond, in wei of the chain's own coin. */
export async function readBond(chain: PublicClient, at: Deployment): Promise<bigint> {
  return chain.readContract({ address: disputesOf(at), abi: DISPUTES, functionName: "BOND_WEI" });
}

/** How a dispute stands; null where there is none. */
export async function findDispute(chain: PublicClient, at: Deployment, requestId: Hex): Promise<Dispute | null> {
  const address = disputesOf(at);
  const [ruling, info] = await Promise.all([
    chain.readContract({ address, abi: DISPUTES, functionName: "rulingOf", args: [requestId] }),
    chain.readContract({ address, abi: DISPUTES, functionName: "infoOf", args: [requestId] }),
  ]);
  const [outcome, phase] = [OUTCOME[ruling.outcome], PHASE[info.phase]];
  if (!outcome || !phase) throw new Rejected("state of the dispute", "a known one", `${ruling.outcome}, ${info.phase}`);
  if (outcome === "NONE") return null;
  const { outputDigest, challenger, majority, closedAt } = ruling;
  const { isAudit, drawEndsAt, commitEndsAt, revealEndsAt, members } = info;
  return { outcome, phase, outputDigest, challenger, isAudit, drawEndsAt, commitEndsAt, revealEndsAt, closedAt, members, majority };
}

/** A pending answer that nobody disputed yet, under a policy that allows it. Throws Rejected, naming what is in the way. */
export async function readDisputable(chain: PublicClient, at: Deployment, requestId: Hex): Promise<Disputable> {
  await requireDisputes(chain, at);
  const { request, beneficiaries, availableAt } = await readPending(chain, at, requestId);
  if (!unpackPolicy(request.policy).disputable)
    throw new Rejected("policy of the request", `a disputable one, such as ${EXAMPLE}`, request.policy);
  const { timestamp } = await chain.getBlock();
  if (timestamp >= availableAt) throw new Rejected("time of the dispute", `before ${availableAt}, when the window ends`, String(timestamp));
  const known = await findDispute(chain, at, requestId);
  if (known) throw new Rejected("dispute", "none before it", `one by ${known.challenger}`);
  return { request, beneficiaries };
}

const EXAMPLE = packPolicy({ quorum: 1, windowSeconds: 600, disputable: true });
