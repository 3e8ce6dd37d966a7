/**
 * A receipt without its teller: what the chain decided about a request, with nothing but an endpoint and a deployment of one's own.
 *
 * In this order: the contract's state is FINAL; the event of the delivery is in a canonical block, deep enough; the calldata of its
 * transaction holds a request that hashes to this id, and the output of the event; each demanded piece of evidence holds. The twin of
 * `oracle/client/verifying.py`.
 */

import {
  type Address,
  type Hex,
  type Log,
  type PublicClient,
  decodeFunctionData,
  getAddress,
  isAddressEqual,
  keccak256,
  parseEventLogs,
  recoverAddress,
  size,
  slice,
} from "viem";

import { Rejected, Unreachable } from "../../../web/src/verify/rejected";
import { COPROCESSOR, OPERATOR_REGISTRY, VERIFIER, VERIFIER_ROUTER } from "./abi";
import {
  type Claim,
  type Deployment,
  type Evidence,
  type Policy,
  QUORUM_ECDSA,
  type Request,
  computeClaimDigest,
  computeRequestId,
  packPolicy,
  unpackPolicy,
} from "./protocol";
import { tell } from "./tell";

const PAGE_BLOCKS = 10_000n;
const HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;
const SIGNATURE_BYTES = 65;
/** libraries/Types.sol, EvidenceKind. */
const KINDS = { quorum: 1, proof: 2, enclave: 3 } as const;
const STATUS = ["NONE", "REQUESTED", "PENDING", "FINAL", "REFUNDED", "CANCELLED"] as const;
const CALLBACK = ["NONE", "SUCCEEDED", "FAILED", "RUNNING"] as const;
const DELIVERED_CODES = [1, 2, 3];

export interface Signer {
  operator: Address;
  signer: Address;
}

/** A final answer. `checked` names the evidence verified here; `unchecked` what was left to the contract's word, and why. */
export interface Verified {
  requestId: Hex;
  modelId: Hex;
  requester: Address;
  /** Null where the delivery went through another contract, so that nothing shows the request. */
  policy: Required<Policy> | null;
  /** What counts: after a challenge the proven output. */
  output: Hex;
  outputDigest: Hex;
  claimDigest: Hex | null;
  transaction: Hex;
  blockNumber: bigint;
  blockHash: Hex;
  callback: (typeof CALLBACK)[number];
  signers: Signer[];
  prover: Address | null;
  isReplaced: boolean;
  checked: string[];
  unchecked: string[];
}

export interface Wanted {
  modelId?: Hex;
  policy?: Policy;
  /** Blocks on top of the delivery's. */
  confirmations?: number;
  /** Throw where anything was left to the contract's word. */
  requireComplete?: boolean;
}

interface Delivered {
  requestId: Hex;
  modelId: Hex;
  requester: Address;
  outputDigest: Hex;
  output: Hex;
  beneficiaries: readonly Address[];
}

interface Carried {
  request: Request;
  input: Hex;
  output: Hex;
  evidence: readonly Evidence[];
}

/** The final answer to a request, from the chain alone. Throws Rejected where something does not hold, Unreachable where nobody answers. */
export async function verifyOnChain(chain: PublicClient, at: Deployment, requestId: Hex, wanted: Wanted = {}): Promise<Verified> {
  const reader = new Reader(chain, at);
  const state = await reader.status(requestId);
  if (state.status !== "FINAL") {
    const until = state.status === "PENDING" ? `, pending until ${state.availableAt}` : "";
    throw new Rejected("state of the request", "FINAL", state.status + until);
  }
  const [delivery, delivered] = await reader.event("InferenceDelivered", requestId);
  requireOwnOutput(delivered);
  await reader.requireDeep(delivery, wanted.confirmations ?? 0);
  const checks = new Checks();
  const carried = await reader.carried(delivery.transactionHash as Hex, requestId);
  const claim = carried && requireSame(carried, delivered, at);
  if (carried && claim) await checkEvidence(reader, delivery.blockNumber as bigint, claim, carried, checks);
  else checks.unchecked.push("evidence: delivered through another contract; the Coprocessor accepted it");
  const replaced = delivered.outputDigest === state.outputDigest ? null : await reader.replacement(requestId, delivered, wanted);
  if (replaced) checks.unchecked.push("challenge: what replaced the answer, a proof or a committee's vote, was judged by the contract");
  const output = (replaced ?? delivered).output;
  if (keccak256(output) !== state.outputDigest)
    throw new Rejected("output digest in the contract", keccak256(output), state.outputDigest);
  const verified: Verified = {
    requestId,
    modelId: delivered.modelId,
    requester: delivered.requester,
    policy: carried ? unpackPolicy(carried.request.policy) : null,
    output,
    outputDigest: state.outputDigest,
    claimDigest: claim ? computeClaimDigest(claim, at) : null,
    transaction: delivery.transactionHash as Hex,
    blockNumber: delivery.blockNumber as bigint,
    blockHash: delivery.blockHash as Hex,
    callback: state.callback,
    isReplaced: replaced !== null,
    ...checks,
  };
  requireAnswers(verified, wanted);
  return verified;
}

/** An answer that is not final, and what it answers. Throws Rejected for another state, or where nothing shows the request. */
export async function readPending(chain: PublicClient, at: Deployment, requestId: Hex) {
  const reader = new Reader(chain, at);
  const { status, availableAt } = await reader.status(requestId);
  if (status !== "PENDING") throw new Rejected("state of the request", "PENDING", status);
  const [delivery, { beneficiaries }] = await reader.event("InferenceDelivered", requestId);
  const carried = await reader.carried(delivery.transactionHash as Hex, requestId);
  if (!carried) throw new Rejected("request", "one that the delivery shows", "one delivered through another contract");
  return { request: carried.request, beneficiaries, availableAt };
}

class Checks {
  signers: Signer[] = [];
  prover: Address | null = null;
  checked: string[] = [];
  unchecked: string[] = [];
}

function requireAnswers(verified: Verified, wanted: Wanted): void {
  if (wanted.modelId !== undefined && wanted.modelId.toLowerCase() !== verified.modelId)
    throw new Rejected("model of the answer", wanted.modelId, verified.modelId);
  if (wanted.policy !== undefined) {
    const got = verified.policy ? packPolicy(verified.policy) : "unknown: delivered through another contract";
    if (packPolicy(wanted.policy) !== got) throw new Rejected("policy of the answer", packPolicy(wanted.policy), got);
  }
  if (wanted.requireComplete && verified.unchecked.length)
    throw new Rejected("evidence", "all of it verified here", verified.unchecked.join("; "));
}

function requireOwnOutput(told: { output: Hex; outputDigest: Hex }): void {
  if (keccak256(told.output) !== told.outputDigest) throw new Rejected("output of the event", told.outputDigest, keccak256(told.output));
}

/** The claim of the delivery, once calldata and event say the same. */
function requireSame(carried: Carried, delivered: Delivered, at: Deployment): Claim {
  const { request } = carried;
  const pairs: [string, string, string][] = [
    ["request id", delivered.requestId, computeRequestId(request, at)],
    ["output digest of the delivery", delivered.outputDigest, keccak256(carried.output)],
    ["model of the delivery", delivered.modelId, request.modelId],
    ["requester of the delivery", getAddress(delivered.requester), getAddress(request.requester)],
  ];
  for (const [what, expected, got] of pairs) if (expected !== got) throw new Rejected(what, expected, got);
  const { requestId, modelId, outputDigest } = delivered;
  return { requestId, modelId, inputDigest: request.inputDigest, outputDigest };
}

/** In the order of the evidence array: quorum, proof, enclave. ECDSA signatures are checked here, all else by the deployment's verifiers. */
async function checkEvidence(reader: Reader, block: bigint, claim: Claim, carried: Carried, checks: Checks): Promise<void> {
  const policy = unpackPolicy(carried.request.policy);
  const demanded = Number(policy.quorum > 0) + Number(policy.proof) + Number(policy.enclave);
  if (carried.evidence.length !== demanded) throw new Rejected("pieces of evidence", String(demanded), carried.evidence.length);
  const pieces = [...carried.evidence];
  const ask = (kind: keyof typeof KINDS, evidence: Evidence) => askVerifier(reader, { kind, claim, carried, evidence, block }, checks);
  if (policy.quorum) {
    const evidence = pieces.shift() as Evidence;
    if (evidence.selector === QUORUM_ECDSA) await checkQuorum(reader, block, claim, policy.quorum, evidence, checks);
    else await ask("quorum", evidence);
  }
  if (policy.proof) {
    if (keccak256(carried.input) !== claim.inputDigest)
      throw new Rejected("input of the delivery", claim.inputDigest, keccak256(carried.input));
    const named = await ask("proof", pieces.shift() as Evidence);
    if (named.length > 1) throw new Rejected("proof", "one that names who is paid", `${named.length} names`);
    checks.prover = named[0] ?? null;
  }
  if (policy.enclave) await ask("enclave", pieces.shift() as Evidence);
}

interface Question {
  kind: keyof typeof KINDS;
  claim: Claim;
  carried: Carried;
  evidence: Evidence;
  block: bigint;
}

/** Asks the deployment's own verifier, as the Coprocessor asked it; says so where that verifier is not there any more. */
async function askVerifier(reader: Reader, question: Question, checks: Checks): Promise<readonly Address[]> {
  const named = await reader.askVerifier(question);
  if (named) checks.checked.push(question.kind);
  else checks.unchecked.push(`${question.kind}: the deployment has no verifier of ${question.evidence.selector} in that block`);
  return named ?? [];
}

async function checkQuorum(reader: Reader, block: bigint, claim: Claim, k: number, evidence: Evidence, checks: Checks): Promise<void> {
  const { bitmap, signatures } = splitQuorum(evidence.data);
  if (signatures.length < k) throw new Rejected("quorum evidence", `at least ${k} signatures`, signatures.length);
  const digest = computeClaimDigest(claim, reader.at);
  const recovered = await Promise.all(signatures.map((signature) => recoverSigner(digest, signature)));
  // Who leaves or changes keys later in the delivery's block counted as before: the block before it is as good.
  const around = await Promise.all([block, block - 1n].filter((number) => number >= 0n).map((number) => reader.seats(bitmap, number)));
  const seats = around.find((found) => found?.every((seat, at) => isAddressEqual(seat.signer, recovered[at] as Address)));
  if (!seats || seats.length !== recovered.length)
    throw new Rejected("quorum evidence", "signatures by the active operators whose bits are set", recovered.join(", "));
  checks.signers = seats;
  checks.checked.push("quorum");
}

/** Bitmap ‖ one 65-byte signature for each set bit. Throws Rejected for another length, and for none. */
export function splitQuorum(data: Hex): { bitmap: bigint; signatures: Hex[] } {
  if (size(data) < 32) throw new Rejected("quorum evidence", "a bitmap", `${size(data)} bytes`);
  const bitmap = BigInt(slice(data, 0, 32));
  const count = bitmap.toString(2).replaceAll("0", "").length;
  if (count === 0 || size(data) !== 32 + SIGNATURE_BYTES * count)
    throw new Rejected("quorum evidence", `a bitmap and ${count} signatures`, `${size(data)} bytes`);
  const signatures = Array.from({ length: count }, (_, at) => slice(data, 32 + SIGNATURE_BYTES * at, 32 + SIGNATURE_BYTES * (at + 1)));
  return { bitmap, signatures };
}

/** Throws Rejected for every encoding but the canonical one: r ‖ s ‖ v, low s, v 27 or 28. */
export async function recoverSigner(digest: Hex, signature: Hex): Promise<Address> {
  const v = size(signature) === SIGNATURE_BYTES ? Number(slice(signature, 64)) : 0;
  if (v !== 27 && v !== 28) throw new Rejected("signature", "65 bytes, the last of them 27 or 28", signature.slice(-2));
  const s = BigInt(slice(signature, 32, 64));
  if (s === 0n || s > HALF_ORDER) throw new Rejected("signature s", "a value in the lower half of the group order", "one outside");
  return recoverAddress({ hash: digest, signature }).catch((error: unknown) => {
    throw new Rejected("signature", "one that some key made", error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error));
  });
}

/** What is asked of the endpoint, and what its answers must look like. */
class Reader {
  constructor(
    private readonly chain: PublicClient,
    readonly at: Deployment,
  ) {}

  async status(requestId: Hex) {
    const address = this.at.coprocessor;
    const [status, callback, outputDigest, availableAt] = await this.reach("statusOf", () =>
      this.chain.readContract({ address, abi: COPROCESSOR, functionName: "statusOf", args: [requestId] }),
    );
    const words = { status: STATUS[status], callback: CALLBACK[callback] };
    if (!words.status || !words.callback) throw new Rejected("state of the request", "a known one", `${status}, ${callback}`);
    return { status: words.status, callback: words.callback, outputDigest, availableAt };
  }

  /** The one event of a request, and what it says. */
  async event(eventName: "InferenceDelivered", requestId: Hex): Promise<[Log, Delivered]> {
    const found: [Log, Delivered][] = [];
    for await (const logs of this.pages(requestId))
      for (const log of parseEventLogs({ abi: COPROCESSOR, eventName, logs })) found.push([log, log.args]);
    const only = found[0];
    if (found.length !== 1 || !only) throw new Rejected("delivery of the request", "one event on chain", found.length);
    return only;
  }

  async replacement(requestId: Hex, first: Delivered, wanted: Wanted): Promise<{ output: Hex; outputDigest: Hex }> {
    for await (const logs of this.pages(requestId))
      for (const log of parseEventLogs({ abi: COPROCESSOR, eventName: "InferenceReplaced", logs })) {
        requireOwnOutput(log.args);
        await this.requireDeep(log, wanted.confirmations ?? 0);
        if (log.args.replacedOutputDigest !== first.outputDigest)
          throw new Rejected("output that a challenge replaced", first.outputDigest, log.args.replacedOutputDigest);
        return log.args;
      }
    throw new Rejected("output that counts", "the delivered one, or one that replaced it", "another");
  }

  /** Logs of the Coprocessor about a request, from the deployment's first block on. */
  private async *pages(requestId: Hex): AsyncGenerator<Log[]> {
    const head = await this.reach("blockNumber", () => this.chain.getBlockNumber({ cacheTime: 0 }));
    for (let first = BigInt(this.at.block_number); first <= head; first += PAGE_BLOCKS) {
      const last = first + PAGE_BLOCKS - 1n;
      const range = { fromBlock: first, toBlock: last < head ? last : head };
      const events = COPROCESSOR.filter((item) => item.type === "event");
      const logs = await this.reach("logs", () =>
        this.chain.getLogs({ address: this.at.coprocessor, events, ...range }),
      );
      yield logs.filter((log) => log.topics[1] === requestId && isAddressEqual(log.address, this.at.coprocessor) && !log.removed) as Log[];
    }
  }

  async requireDeep(log: Log, confirmations: number): Promise<void> {
    const number = log.blockNumber as bigint;
    const [block, head] = await this.reach("block", () =>
      Promise.all([this.chain.getBlock({ blockNumber: number }), this.chain.getBlockNumber({ cacheTime: 0 })]),
    );
    if (block.hash !== log.blockHash) throw new Rejected("block of the delivery", String(log.blockHash), String(block.hash));
    if (head - number < BigInt(confirmations)) throw new Rejected("delivery", `one ${confirmations} blocks deep`, `one ${head - number} blocks deep`);
  }

  /** The delivery in a transaction's calldata; null where it called another contract, or as no strict decoder reads it. */
  async carried(hash: Hex, requestId: Hex): Promise<Carried | null> {
    const [transaction, receipt] = await this.reach("transaction", () =>
      Promise.all([this.chain.getTransaction({ hash }), this.chain.getTransactionReceipt({ hash })]),
    );
    if (receipt.status !== "success") throw new Rejected("transaction of the delivery", "one that succeeded", receipt.status);
    if (!transaction.to || !isAddressEqual(transaction.to, this.at.coprocessor)) return null;
    const items = parseEventLogs({ abi: COPROCESSOR, eventName: "BatchItem", logs: receipt.logs });
    const position = Math.max(0, items.findIndex(({ args }) => args.requestId === requestId && DELIVERED_CODES.includes(args.code)));
    const found = readDeliveries(transaction.input)[position];
    return found && computeRequestId(found.request, this.at) === requestId ? found : null;
  }

  /** The seats of a bitmap at a block, lowest bit first; null where one of them was not active. */
  async seats(bitmap: bigint, blockNumber: bigint): Promise<Signer[] | null> {
    const address = this.at.operator_registry;
    try {
      const [operators, signers] = await this.chain.readContract({
        address,
        abi: OPERATOR_REGISTRY,
        functionName: "activeSigners",
        args: [bitmap],
        blockNumber,
      });
      return signers.map((signer, at) => ({ operator: operators[at] as Address, signer }));
    } catch (error) {
      if (isRevert(error)) return null;
      throw unreachable("activeSigners", error);
    }
  }

  /**
   * Who is paid for a piece of evidence, by the deployment's verifier in the state of the delivery's block; null where it has none.
   * Throws Rejected where it refuses the evidence.
   */
  async askVerifier({ kind, claim, carried, evidence, block: blockNumber }: Question): Promise<readonly Address[] | null> {
    const at = await this.resolve(KINDS[kind], evidence.selector, blockNumber);
    if (!at) return null;
    const { request, input, output } = carried;
    const args = [claim, computeClaimDigest(claim, this.at), request.policy, input, output, evidence.data] as const;
    try {
      return await this.chain.readContract({ address: at, abi: VERIFIER, functionName: "verify", args, blockNumber });
    } catch (error) {
      if (isRevert(error)) throw new Rejected(kind, "evidence that the deployment's verifier takes", firstLine(error));
      throw unreachable("verify", error);
    }
  }

  private async resolve(kind: number, selector: Hex, blockNumber: bigint): Promise<Address | null> {
    const address = this.at.verifier_router;
    try {
      return await this.chain.readContract({ address, abi: VERIFIER_ROUTER, functionName: "resolve", args: [kind, selector], blockNumber });
    } catch (error) {
      if (isRevert(error)) return null;
      throw unreachable("resolve", error);
    }
  }

  private async reach<T>(what: string, ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      if (isRevert(error)) throw new Rejected(what, "an answer of the deployment's contracts", firstLine(error));
      throw unreachable(what, error);
    }
  }
}

function readDeliveries(calldata: Hex): Carried[] {
  try {
    const { functionName, args } = decodeFunctionData({ abi: COPROCESSOR, data: calldata });
    if (functionName === "deliver") return [{ request: args[0], input: args[1], output: args[2], evidence: args[3] }];
    if (functionName === "deliverSigned") return [{ request: args[0], input: args[2], output: args[3], evidence: args[4] }];
    return functionName === "deliverBatch" ? [...args[0]] : [];
  } catch {
    return []; // anyone may deliver, in any way: what a strict decoder does not read shows no evidence
  }
}

/** Whether a contract refused, and not an endpoint. */
export function isRevert(error: unknown): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause)
    if (/^(ContractFunctionRevertedError|ContractFunctionZeroDataError|ExecutionRevertedError)$/.test(at.name)) return true;
  return false;
}

function firstLine(error: unknown): string {
  return error instanceof Error ? (error.message.split("\n")[0] ?? "").slice(0, 200) : String(error).slice(0, 200);
}

function unreachable(what: string, error: unknown): Unreachable {
  return new Unreachable(`the RPC endpoint gives no answer to ${what}: ${firstLine(error)}`, { cause: error });
}

/**
 * Holds an API's receipt against what was verified: request, model, transaction, block, state, callback, output, and who signed or proved.
 * Throws Rejected, naming the first field that says something else. Gas, beneficiaries, times and the decoding are the API's own words.
 */
export function compareReceipt(verified: Verified, told: Record<string, unknown>): void {
  const expected: Record<string, unknown> = {
    request_id: verified.requestId,
    model_id: verified.modelId,
    transaction: verified.transaction,
    block_number: Number(verified.blockNumber),
    block_hash: verified.blockHash,
    status: "FINAL",
    callback: verified.callback,
    output: verified.output,
    output_digest: verified.outputDigest,
  };
  if (verified.checked.includes("quorum")) expected["signers"] = namesOf(verified.signers);
  if (verified.checked.includes("proof") || verified.policy?.proof === false) expected["prover"] = verified.prover;
  const got: Record<string, unknown> = { ...told, signers: namesOf(told["signers"]) };
  for (const [name, value] of Object.entries(expected))
    if (got[name] !== value) throw new Rejected(`receipt of the API, ${name}`, tell(value, 120), tell(got[name], 120));
  const isReplaced = Boolean(told["replaced"]);
  if (isReplaced !== verified.isReplaced) throw new Rejected("receipt of the API, replaced", String(verified.isReplaced), String(isReplaced));
}

/** Operators and keys of signers as one text, for what is none as well. */
function namesOf(signers: unknown): string {
  if (!Array.isArray(signers)) return tell(signers);
  return signers.map((one: Partial<Signer> | null) => `${tell(one?.operator)} by ${tell(one?.signer)}`).join(", ");
}
