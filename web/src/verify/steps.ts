/**
 * The browser's own verification, step by step. It believes the trust anchors it is given and nothing that the server says.
 *
 * | # | Step         | Holds when                                                                                     |
 * |---|--------------|------------------------------------------------------------------------------------------------|
 * | 1 | record       | the bytes are one canonical record                                                             |
 * | 2 | inclusion    | the proof file leads from these bytes to the root of its checkpoint                            |
 * | 3 | signature    | that checkpoint is signed by the log's key                                                     |
 * | 4 | log          | the log's newest checkpoint extends it, and its tiles have these bytes at this place           |
 * | 5 | call         | the records of the call are in the log and name each other without a gap                       |
 * | 6 | anchor       | the log extends the newest head that the AuditAnchor contract holds, read from the chain's RPC |
 * | 7 | coverage     | that anchored head contains this record                                                        |
 * | 8 | memory       | the log extends the largest checkpoint this browser saw before                                 |
 * | 9 | transaction  | the chain has the transaction that the record names, in the block it names                     |
 * | 10 | witnesses   | the witness policy's quorum signed a checkpoint that the log extends                           |
 *
 * A step with nothing to check is absent, not passed. A step that could not be checked because something does not answer is
 * unreachable, and neither true nor false. Whatever does not hold is failed, and the steps that build upon it are not reached.
 */

import { areEqual, toHex } from "./bytes";
import type { Fields } from "./canonical";
import { type Chain, type Head, computeLogId } from "./chain";
import { type Checkpoint, openCheckpoint, parseCheckpoint } from "./checkpoint";
import { LogView, type LogFiles } from "./log";
import type { Memory } from "./memory";
import { type VerifierKey, parseNote, parseVkey } from "./note";
import { type LogProof, readProof, verifyPath } from "./proof";
import { parseRecord, readPrevious } from "./record";
import { Rejected, Unreachable } from "./rejected";
import { hashLeaf } from "./tree";
import { parsePolicy, readWitnesses } from "./witness";

export type StepStatus = "passed" | "absent" | "failed" | "unreachable" | "skipped";

export interface Step {
  number: number;
  name: string;
  status: StepStatus;
  detail: string;
}

export const STEP_NAMES = [
  "Record",
  "Inclusion",
  "Checkpoint signature",
  "The log as it is now",
  "The call's records",
  "Anchor on chain",
  "Covered by the anchor",
  "This browser's memory",
  "Transaction",
  "Witnesses",
] as const;

/** What the auditor trusts, wherever it came from. */
export interface TrustAnchors {
  vkey: string;
  chainId: number | null;
  auditAnchor: string | null;
  anchorKey: string | null;
  witnessPolicy: string | null;
}

export interface Seams {
  files: LogFiles;
  chain: Chain | null;
  memory: Memory;
}

/** A record as the server shows it; all of it is held against the log. */
export interface Shown {
  index: bigint;
  record: Uint8Array;
  proof: Uint8Array;
  /** Where the records of the same call are said to be, oldest first. */
  call: bigint[];
}

type OnStep = (step: Step) => void;

/** A step that does not hold is not here: it throws Rejected. `value` is what later steps build upon. */
interface Outcome<T> {
  status: "passed" | "absent";
  detail: string;
  value: T;
}

function passed(detail: string): Outcome<true>;
function passed<T>(detail: string, value: T): Outcome<T>;
function passed(detail: string, value: unknown = true): Outcome<unknown> {
  return { status: "passed", detail, value };
}

const absent = (detail: string): Outcome<true> => ({ status: "absent", detail, value: true });

/** Tells of each step as it is done, in order. */
class Recorder {
  readonly steps: Step[] = [];
  private readonly onStep: OnStep;

  constructor(onStep: OnStep) {
    this.onStep = onStep;
  }

  /** The step's value, or null where it does not hold or could not be checked. Rethrows what is neither. */
  async step<T>(number: number, check: () => Promise<Outcome<T>> | Outcome<T>): Promise<T | null> {
    try {
      const { status, detail, value } = await check();
      this.add(number, status, detail);
      return value;
    } catch (error) {
      if (error instanceof Rejected) this.add(number, "failed", error.message);
      else if (error instanceof Unreachable) this.add(number, "unreachable", error.message);
      else throw error;
      return null;
    }
  }

  skip(numbers: number[], because: string): void {
    for (const number of numbers) this.add(number, "skipped", because);
  }

  private add(number: number, status: StepStatus, detail: string): void {
    const step = { number, name: STEP_NAMES[number - 1] ?? "", status, detail };
    this.steps.push(step);
    this.onStep(step);
  }
}

/** The log by its newest checkpoint, signed by its key. */
async function readNewest(files: LogFiles, key: VerifierKey): Promise<LogView> {
  return new LogView(files, openCheckpoint(await files.readCheckpoint(), key));
}

/** All steps for one record. */
export async function verifyRecord(shown: Shown, trust: TrustAnchors, seams: Seams, onStep: OnStep = () => undefined): Promise<Step[]> {
  const recorder = new Recorder(onStep);
  const fields = await recorder.step(1, () => {
    const read = parseRecord(shown.record);
    return passed(`${shown.record.length} bytes, a canonical record; leaf ${toHex(hashLeaf(shown.record))}`, read);
  });
  const proof = await recorder.step(2, () => verifyHashes(shown));
  const proven = await recorder.step(3, () => verifySignature(proof, trust));
  if (!fields || !proven) {
    recorder.skip([4, 5, 6, 7, 8, 9, 10], "without a signed checkpoint that contains the record nothing else means anything");
    return recorder.steps;
  }
  const newest = await recorder.step(4, () => verifyNow(shown, proven, trust, seams));
  if (!newest) {
    recorder.skip([5, 6, 7, 8, 9, 10], "the log's newest checkpoint was not verified");
    return recorder.steps;
  }
  await recorder.step(5, () => verifyCall(newest, shown, fields));
  const head = await recorder.step(6, () => verifyAnchor(newest, trust, seams));
  if (head) await recorder.step(7, () => verifyCoverage(head, shown.index));
  else recorder.skip([7], "the anchor was not verified");
  await recorder.step(8, () => verifyMemory(newest, trust.vkey, seams.memory));
  await recorder.step(9, () => verifyTransaction(fields, trust, seams.chain));
  await recorder.step(10, () => verifyWitnesses(newest, trust, seams.files, shown.index));
  return recorder.steps;
}

/** The log as a whole: checkpoint, anchor, memory, witnesses. The steps keep their numbers. */
export async function verifyLogHead(trust: TrustAnchors, seams: Seams, onStep: OnStep = () => undefined): Promise<Step[]> {
  const recorder = new Recorder(onStep);
  const newest = await recorder.step(3, async () => {
    const view = await readNewest(seams.files, parseVkey(trust.vkey));
    return passed(`${view.size} entries of ${view.checkpoint.origin}, root ${toHex(view.checkpoint.root)}`, view);
  });
  if (!newest) {
    recorder.skip([6, 8, 10], "there is no checkpoint by the log's key");
    return recorder.steps;
  }
  await recorder.step(6, () => verifyAnchor(newest, trust, seams));
  await recorder.step(8, () => verifyMemory(newest, trust.vkey, seams.memory));
  await recorder.step(10, () => verifyWitnesses(newest, trust, seams.files, null));
  return recorder.steps;
}

/** One word for all steps. */
export function judge(steps: Step[]): "passed" | "failed" | "unreachable" {
  if (steps.some((step) => step.status === "failed")) return "failed";
  return steps.some((step) => step.status === "unreachable" || step.status === "skipped") ? "unreachable" : "passed";
}

// ---- the steps --------------------------------------------------------------------------------------------------------------------

function verifyHashes(shown: Shown): Outcome<LogProof> {
  const proof = readProof(shown.proof);
  if (proof.index !== shown.index) throw new Rejected("proof", `index ${shown.index}`, proof.index);
  const checkpoint = parseCheckpoint(proof.note); // its signature is step 3
  verifyPath(proof, checkpoint, shown.record);
  return passed(`entry ${proof.index} of ${checkpoint.size}, by ${proof.hashes.length} hashes`, proof);
}

function verifySignature(proof: LogProof | null, trust: TrustAnchors): Outcome<Checkpoint> {
  if (!proof) throw new Rejected("checkpoint", "one that contains the record", "none");
  const checkpoint = openCheckpoint(proof.note, parseVkey(trust.vkey));
  return passed(`${checkpoint.size} entries of ${checkpoint.origin}, signed by the log's key`, checkpoint);
}

async function verifyNow(shown: Shown, proven: Checkpoint, trust: TrustAnchors, seams: Seams): Promise<Outcome<LogView>> {
  const view = await readNewest(seams.files, parseVkey(trust.vkey));
  await view.verifyExtends(proven.size, proven.root, "the proof's checkpoint");
  await view.verifyInclusion(shown.index, shown.record);
  if (!areEqual(await view.read(shown.index), shown.record))
    throw new Rejected(`entry ${shown.index} in its bundle`, "the record that is shown", "other bytes");
  return passed(`${view.size} entries now; it extends the proof's ${proven.size}, and its tiles have this record at ${shown.index}`, view);
}

/** The records of a call are linked: each but the first names place and leaf of the one before. */
async function verifyCall(view: LogView, shown: Shown, fields: Fields): Promise<Outcome<true>> {
  const callId = readCallId(fields);
  if (callId === undefined) return absent("this record belongs to no call");
  const places = shown.call.length ? shown.call : [shown.index];
  if (!places.includes(shown.index)) throw new Rejected("call", `record ${shown.index} among its records`, places.join(", "));
  let previous: { index: bigint; leaf: Uint8Array } | null = null;
  for (const index of places) {
    const bytes = await view.read(index);
    await view.verifyInclusion(index, bytes);
    const record = parseRecord(bytes);
    requireLink(record, index, previous);
    if (readCallId(record) !== callId) throw new Rejected(`call of record ${index}`, String(callId), String(readCallId(record)));
    previous = { index, leaf: hashLeaf(bytes) };
  }
  return passed(`${places.length} ${places.length === 1 ? "record" : "records"}, each in the log and linked to the one before`);
}

function readCallId(fields: Fields): unknown {
  return fields["audit.request_id"] ?? fields["audit.call_id"];
}

function requireLink(record: Fields, index: bigint, previous: { index: bigint; leaf: Uint8Array } | null): void {
  if (!previous) {
    const place = record["audit.call.previous_index"];
    if (place !== undefined) throw new Rejected("call", `record ${String(place)} before record ${index}`, "a list without it");
    return;
  }
  const named = readPrevious(record);
  if (named.index !== previous.index) throw new Rejected(`record before ${index}`, String(named.index), previous.index);
  if (!areEqual(named.leaf, previous.leaf))
    throw new Rejected(`leaf of record ${previous.index} as named by ${index}`, toHex(named.leaf), toHex(previous.leaf));
}

async function verifyAnchor(view: LogView, trust: TrustAnchors, seams: Seams): Promise<Outcome<Head>> {
  const none: Head = { size: 0n, root: new Uint8Array(32) };
  if (!seams.chain || !trust.auditAnchor || !trust.anchorKey)
    return { ...absent("no RPC endpoint, AuditAnchor contract or anchor key is set"), value: none };
  await requireChain(seams.chain, trust);
  const head = await seams.chain.readHead(trust.auditAnchor, computeLogId(view.checkpoint.origin, trust.anchorKey));
  if (head.size === 0n) return { ...absent("the contract has no anchor of this log yet"), value: none };
  // A head anchored a moment ago may be ahead of a checkpoint read a moment before it.
  const current = head.size > view.size ? await readNewest(seams.files, parseVkey(trust.vkey)) : view;
  await current.verifyExtends(head.size, head.root, "the anchor on chain");
  return passed(`the log extends the ${head.size} entries anchored on chain ${trust.chainId ?? "?"}, root ${toHex(head.root)}`, head);
}

async function requireChain(chain: Chain, trust: TrustAnchors): Promise<void> {
  const chainId = await chain.readChainId();
  if (trust.chainId !== null && chainId !== trust.chainId) throw new Rejected("chain of the RPC endpoint", String(trust.chainId), chainId);
}

function verifyCoverage(head: Head, index: bigint): Outcome<true> {
  if (head.size > index) return passed(`entry ${index} is among the ${head.size} anchored ones`);
  return absent(head.size ? `entry ${index} is newer than the last anchor, which has ${head.size} entries` : "there is no anchor yet");
}

async function verifyMemory(view: LogView, vkey: string, memory: Memory): Promise<Outcome<true>> {
  const seen = memory.recall(vkey);
  if (seen) await view.verifyExtends(seen.size, seen.root, "the checkpoint this browser saw before");
  memory.keep(vkey, view.checkpoint);
  return seen
    ? passed(`it extends the ${seen.size} entries seen before`)
    : absent("nothing was seen before; this checkpoint is kept from now on");
}

/** Step 9. A receipt that was called final must be where it says; one written when its block was seen may have been reorganised away. */
export async function verifyTransaction(fields: Fields, trust: TrustAnchors, chain: Chain | null): Promise<Outcome<true>> {
  const hash = fields["audit.transaction"];
  if (typeof hash !== "string") return absent("this record names no transaction");
  if (!chain) return absent("no RPC endpoint is set");
  await requireChain(chain, trust);
  const found = await chain.findTransaction(hash);
  const isFinal = fields["audit.kind"] === "receipt" && fields["audit.finality"] !== "mined";
  const block = fields["audit.block_hash"];
  const isElsewhere = found !== null && typeof block === "string" && block !== found.blockHash;
  if (isFinal && !found) throw new Rejected("transaction", hash, "none on the chain");
  if (isFinal && isElsewhere) throw new Rejected("block of the transaction", String(block), found.blockHash);
  if (!found) return absent("the chain does not have it: its block may have been reorganised away, or this node has forgotten it");
  if (isElsewhere)
    return absent(`logged when it was seen in block ${String(block)}, it is now in ${found.blockHash}: the chain was reorganised`);
  if (!found.hasSucceeded) throw new Rejected("transaction", "one that succeeded", "one that was reverted");
  return passed(`in block ${found.blockNumber}, ${found.blockHash}`);
}

/** Witnesses sign a little later than the log: what they signed last must be of this log, and the log must extend it. */
async function verifyWitnesses(view: LogView, trust: TrustAnchors, files: LogFiles, index: bigint | null): Promise<Outcome<true>> {
  if (!trust.witnessPolicy?.trim()) return absent("no witness policy is set");
  const policy = parsePolicy(trust.witnessPolicy);
  if (policy.quorum === null) return absent("the policy asks for no witness");
  const note = await files.readWitnessed();
  if (!note) throw new Rejected("witness quorum", policy.quorum, "no checkpoint that was cosigned");
  const seen = openCheckpoint(note, parseVkey(trust.vkey));
  const { isMet, signed, missing } = readWitnesses(parseNote(note), policy);
  const names = signed.map((one) => one.name).join(", ") || "nobody";
  if (!isMet) throw new Rejected("witness quorum", policy.quorum, `signatures by ${names}; none by ${missing.join(", ")}`);
  const current = seen.size > view.size ? await readNewest(files, parseVkey(trust.vkey)) : view;
  await current.verifyExtends(seen.size, seen.root, "the cosigned checkpoint");
  const when =
    signed
      .map((one) => one.time.toISOString().slice(0, 19).replace("T", " "))
      .sort()
      .at(-1) ?? "";
  if (index !== null && index >= seen.size)
    return absent(`${names} signed ${seen.size} entries, last at ${when} UTC: entry ${index} is newer`);
  return passed(`${names} signed ${seen.size} entries, last at ${when} UTC, and the log extends them`);
}
