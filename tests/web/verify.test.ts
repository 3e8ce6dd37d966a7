/** The browser's verifier under Node: the vectors that Python and Solidity are held to, Python's verdicts on mutated files, a lying log. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { keccak_256 } from "@noble/hashes/sha3.js";

import { decodeBase64, encodeUtf8, parseHex, toHex } from "../../web/src/verify/bytes";
import { type Chain, type Head, computeLogId } from "../../web/src/verify/chain";
import { openCheckpoint } from "../../web/src/verify/checkpoint";
import { checkContent } from "../../web/src/verify/content";
import type { LogFiles } from "../../web/src/verify/log";
import type { Memory } from "../../web/src/verify/memory";
import { encodeVkey, parseNote, parseVkey, verifyNote } from "../../web/src/verify/note";
import { readProof, verifyProof } from "../../web/src/verify/proof";
import { parseRecord } from "../../web/src/verify/record";
import { Rejected, Unreachable } from "../../web/src/verify/rejected";
import { type Opening, verifyOpening } from "../../web/src/verify/seal";
import { type Step, type TrustAnchors, judge, verifyLogHead, verifyRecord, verifyTransaction } from "../../web/src/verify/steps";
import { encodeIndex, subtreeReader, tileAt, tilePath } from "../../web/src/verify/tiles";
import { computeConsistency, computeInclusion, computeRoot, hashLeaf, verifyConsistency, verifyInclusion } from "../../web/src/verify/tree";
import { parsePolicy, readWitnesses } from "../../web/src/verify/witness";

interface Judged {
  name: string;
  kind: "note" | "checkpoint" | "proof" | "vkey" | "policy" | "record";
  data: string;
  holds: boolean;
}

interface Sealing {
  root: string;
  openings: Opening[];
}

interface Scene {
  directory: string;
  vkey: string;
  anchorKey: string;
  logId: string;
  size: number;
  older: { size: number; root: string };
  places: number[];
  proofs: Record<string, string>;
  records: Record<string, string>;
  call: number[];
  judged: Judged[];
  large: { directory: string; roots: Record<string, string> };
  sealings: Sealing[];
  cosigned: { note: string; policies: { text: string; isMet: boolean }[]; spoiled: string };
}

const scene = JSON.parse(readFileSync(process.env["AFFIDAVIT_SCENE"] ?? "", "utf8")) as Scene;
const vectors = JSON.parse(readFileSync("tests/vectors/log_proofs.json", "utf8")) as {
  inclusion: { name: string; valid: boolean; leafHash: string; index: number; size: number; proof: string[]; root: string }[];
  consistency: { name: string; valid: boolean; size1: number; size2: number; proof: string[]; root1: string; root2: string }[];
};
const key = parseVkey(scene.vkey);
const hex = (text: string): Uint8Array => parseHex(text, "test");
const base64 = (text: string): Uint8Array => decodeBase64(text, "test");

function expect(holds: boolean, check: () => void, name: string): void {
  if (holds) assert.doesNotThrow(check, name);
  else assert.throws(check, Rejected, name);
}

test("inclusion vectors, true and false", () => {
  for (const v of vectors.inclusion) {
    expect(v.valid, () => verifyInclusion(hex(v.leafHash), BigInt(v.index), BigInt(v.size), v.proof.map(hex), hex(v.root)), v.name);
  }
});

test("consistency vectors, true and false", () => {
  for (const v of vectors.consistency) {
    expect(v.valid, () => verifyConsistency(BigInt(v.size1), BigInt(v.size2), v.proof.map(hex), hex(v.root1), hex(v.root2)), v.name);
  }
});

test("what a literal reading of RFC 9162 lets through is refused", () => {
  const root = new Uint8Array(32);
  assert.throws(() => verifyInclusion(root, 0n, 0n, [], root), Rejected);
  assert.throws(() => verifyConsistency(0n, 4n, [], root, root), Rejected);
  assert.throws(() => verifyInclusion(root, -1n, 4n, [], root), Rejected);
  assert.throws(() => verifyInclusion(root.slice(1), 0n, 1n, [], root.slice(1)), Rejected);
});

test("mutated notes, checkpoints, proofs and keys get Python's verdict", () => {
  const check = {
    note: (data: Uint8Array) => void verifyNote(data, key),
    checkpoint: (data: Uint8Array) => void openCheckpoint(data, key),
    proof: (data: Uint8Array) => void verifyProof(readProof(data), key),
    policy: (data: Uint8Array) => void parsePolicy(new TextDecoder("utf-8", { ignoreBOM: true }).decode(data)),
    record: (data: Uint8Array) => void parseRecord(data),
    vkey: (data: Uint8Array) => void parseVkey(new TextDecoder("utf-8", { ignoreBOM: true }).decode(data)),
  };
  assert.ok(scene.judged.length > 1000, `${scene.judged.length} files`);
  for (const { name, kind, data, holds } of scene.judged) expect(holds, () => check[kind](base64(data)), name);
});

test("keys and tile paths are written as Python writes them", () => {
  assert.equal(encodeVkey(key), scene.vkey);
  assert.equal(encodeIndex(1234067n), "x001/x234/067");
  assert.equal(tilePath(tileAt(0, 0n, 3n)), "tile/0/000.p/3");
  assert.throws(() => tileAt(1, 0n, 255n), Rejected);
  assert.equal(computeLogId(key.name, scene.anchorKey), scene.logId);
});

test("proofs computed from three levels of tiles lead to the roots that Python computed from the leaves", async () => {
  const sizes = Object.keys(scene.large.roots).map(BigInt);
  const size = sizes.at(-1) ?? 0n;
  const rootOf = (of: bigint): Uint8Array => hex(scene.large.roots[String(of)] ?? "");
  const read = subtreeReader(size, (tile) => Promise.resolve(new Uint8Array(readFileSync(join(scene.large.directory, tilePath(tile))))));
  for (const older of sizes) {
    assert.equal(toHex(await computeRoot(older, read)), scene.large.roots[String(older)]);
    verifyConsistency(older, size, await computeConsistency(older, size, read), rootOf(older), rootOf(size));
    const index = older - 1n;
    verifyInclusion(hashLeaf(encodeUtf8(String(index))), index, size, await computeInclusion(index, size, read), rootOf(size));
  }
});

test("sealed fields open, and every changed opening is refused", () => {
  for (const { root, openings } of scene.sealings) {
    for (const opening of openings) {
      verifyOpening(opening, hex(root));
      for (const lie of liesAbout(opening)) assert.throws(() => verifyOpening(lie, hex(root)), Rejected, JSON.stringify(lie));
    }
  }
});

test("disclosed content is held against its record", () => {
  for (const { root, openings } of scene.sealings) {
    const record = {
      "audit.sealed": root,
      "audit.input_digest": toKeccak("input"),
      "audit.evidence_digests": [toKeccak("a"), toKeccak("b")],
    };
    const bodies = [
      { name: "audit.input_digest", hex: asHex("input") },
      { name: "audit.evidence_digests[1]", hex: asHex("b") },
    ];
    assert.ok(checkContent(record, { sealed: openings, bodies }).every((check) => check.holds));
    const swapped = [
      { name: "audit.evidence_digests[0]", hex: asHex("b") },
      { name: "audit.reason", hex: asHex("x") },
    ];
    assert.ok(checkContent(record, { sealed: [], bodies: swapped }).every((check) => !check.holds));
    const [first] = openings;
    assert.ok(first);
    const lies = [
      { ...first, value: "other" },
      { name: first.name, value: first.value },
    ];
    assert.ok(checkContent(record, { sealed: lies, bodies: [] }).every((check) => !check.holds));
  }
});

function asHex(text: string): string {
  return toHex(encodeUtf8(text));
}

function toKeccak(text: string): string {
  return toHex(keccak_256(encodeUtf8(text)));
}

function liesAbout(opening: Opening): Opening[] {
  const flipped = (text: string): string => text.slice(0, -1) + (text.endsWith("0") ? "1" : "0");
  return [
    { ...opening, name: `${opening.name}x` },
    { ...opening, value: "another" },
    { ...opening, salt: flipped(opening.salt) },
    { ...opening, salt: "0x" },
    { ...opening, index: (opening.index + 1) % 16 },
    { ...opening, index: opening.index + 16 },
    { ...opening, path: opening.path.slice(1) },
    { ...opening, path: [...opening.path, opening.path[0] ?? ""] },
    { ...opening, path: opening.path.map((hash, at) => (at === 2 ? flipped(hash) : hash)) },
  ];
}

test("witness policies are met or not, and a false cosignature spoils the note", () => {
  const note = parseNote(base64(scene.cosigned.note));
  const at = 1_700_000_000;
  for (const { text, isMet } of scene.cosigned.policies) assert.equal(readWitnesses(note, parsePolicy(text), at).isMet, isMet, text);
  const [first] = scene.cosigned.policies;
  assert.doesNotThrow(() => readWitnesses(note, parsePolicy(first?.text ?? ""), at - 300));
  assert.throws(() => readWitnesses(note, parsePolicy(first?.text ?? ""), at - 301), Rejected, "a cosignature of the future");
  assert.throws(() => readWitnesses(parseNote(base64(scene.cosigned.spoiled)), parsePolicy(first?.text ?? "")), Rejected);
});

// ---- a whole verification against a real log --------------------------------------------------------------------------------------

const CONTRACT = `0x${"a7".repeat(20)}`;
const trust: TrustAnchors = { vkey: scene.vkey, chainId: 31337, auditAnchor: CONTRACT, anchorKey: scene.anchorKey, witnessPolicy: null };

/** The log's files as they lie, each through `change` first. */
function files(change: (path: string, data: Uint8Array) => Uint8Array = (_path, data) => data): LogFiles {
  const read = (path: string): Promise<Uint8Array> =>
    Promise.resolve(change(path, new Uint8Array(readFileSync(join(scene.directory, path)))));
  return { readCheckpoint: () => read("checkpoint"), readWitnessed: () => Promise.resolve(null), readTile: (tile) => read(tilePath(tile)) };
}

function chain(head: Head, chainId = 31337): Chain {
  return {
    readChainId: () => Promise.resolve(chainId),
    readHead: (contract, logId) =>
      Promise.resolve(contract === CONTRACT && logId === scene.logId ? head : { size: 0n, root: new Uint8Array(32) }),
    findTransaction: () => Promise.resolve(null),
  };
}

function memory(seen: Head | null = null): Memory {
  return { recall: () => seen, keep: () => undefined };
}

const anchored: Head = { size: BigInt(scene.older.size), root: hex(scene.older.root) };
const shown = (index: number, call: number[] = []): Parameters<typeof verifyRecord>[0] => ({
  index: BigInt(index),
  record: base64(scene.records[index] ?? ""),
  proof: encodeUtf8(scene.proofs[index] ?? ""),
  call: call.map(BigInt),
});

function statuses(steps: Step[]): string {
  return steps.map((step) => `${step.number} ${step.status}`).join(", ");
}

test("a true log passes, record by record", async () => {
  for (const index of scene.places) {
    const steps = await verifyRecord(shown(index), trust, { files: files(), chain: chain(anchored), memory: memory(anchored) });
    assert.equal(judge(steps), "passed", JSON.stringify(steps));
    assert.equal(steps[6]?.status, index < scene.older.size ? "passed" : "absent");
  }
  const steps = await verifyRecord(shown(scene.call[1] ?? 0, scene.call), trust, {
    files: files(),
    chain: chain(anchored),
    memory: memory(),
  });
  assert.equal(statuses(steps.slice(0, 7)), "1 passed, 2 passed, 3 passed, 4 passed, 5 passed, 6 passed, 7 passed", JSON.stringify(steps));
});

function flip(data: Uint8Array, at: number): Uint8Array {
  const changed = data.slice();
  changed[at] = (changed[at] ?? 0) ^ 1;
  return changed;
}

function find(data: Uint8Array, part: Uint8Array): number {
  return Buffer.from(data).indexOf(Buffer.from(part));
}

async function failsAt(
  number: number,
  lie: Partial<Parameters<typeof verifyRecord>[0]>,
  seams: Partial<Parameters<typeof verifyRecord>[2]> = {},
  other = trust,
): Promise<void> {
  const index = scene.call[1] ?? 0;
  const honest = { files: files(), chain: chain(anchored), memory: memory(anchored) };
  const steps = await verifyRecord({ ...shown(index, scene.call), ...lie }, other, { ...honest, ...seams });
  assert.equal(judge(steps), "failed", statuses(steps));
  assert.equal(steps.find((step) => step.status === "failed")?.number, number, JSON.stringify(steps));
}

test("each lie fails at its own step", async () => {
  const honest = shown(scene.call[1] ?? 0, scene.call);
  const record = new TextDecoder().decode(honest.record);
  await failsAt(1, { record: encodeUtf8(record.replace("{", "{ ")) });
  await failsAt(2, { record: encodeUtf8(record.replace("tester", "Tester")) });
  await failsAt(2, { index: honest.index + 1n });
  await failsAt(2, { proof: shown(scene.places[0] ?? 0).proof });
  await failsAt(3, {}, {}, { ...trust, vkey: "log.example/affidavit+e9ce4fd5+AQ==" });
  await failsAt(4, {}, { files: files((path, data) => (path.startsWith("tile/0/") ? flip(data, 40) : data)) });
  await failsAt(
    4,
    {},
    { files: files((path, data) => (path.startsWith("tile/entries/") ? flip(data, find(data, honest.record) + 9) : data)) },
  );
  await failsAt(4, {}, { files: files((path, data) => (path === "checkpoint" ? flip(data, 30) : data)) });
  await failsAt(
    4,
    {},
    { files: { ...files(), readCheckpoint: () => Promise.resolve(base64(scene.judged.find((one) => one.name === "older")?.data ?? "")) } },
  );
  await failsAt(5, { call: honest.call.filter((_, at) => at !== 0) });
  await failsAt(5, { call: honest.call.filter((index) => index !== honest.index) });
  await failsAt(6, {}, { chain: chain({ ...anchored, root: flip(anchored.root, 5) }) });
  await failsAt(6, {}, { chain: chain({ ...anchored, size: BigInt(scene.size) + 1n }) });
  await failsAt(6, {}, { chain: chain(anchored, 1) });
  await failsAt(8, {}, { memory: memory({ ...anchored, root: flip(anchored.root, 5) }) });
  await failsAt(8, {}, { memory: memory({ size: BigInt(scene.size) + 5n, root: anchored.root }) });
});

test("the log as a whole", async () => {
  const head = await verifyLogHead(trust, { files: files(), chain: chain(anchored), memory: memory() });
  assert.equal(statuses(head), "3 passed, 6 passed, 8 absent, 10 absent");
});

test("what does not answer is neither true nor false", async () => {
  const dead: Chain = { ...chain(anchored), readHead: () => Promise.reject(new Unreachable("no answer")) };
  const steps = await verifyRecord(shown(scene.places[0] ?? 0), trust, { files: files(), chain: dead, memory: memory() });
  assert.equal(judge(steps), "unreachable");
  assert.equal(steps[5]?.status, "unreachable");
  assert.equal(steps[6]?.status, "skipped");
});

test("witnesses must have signed a checkpoint that the log extends", async () => {
  const [met, unmet] = scene.cosigned.policies;
  const judged = async (policy: string | undefined, note: string | null, other: Partial<LogFiles> = {}): Promise<string> => {
    const readWitnessed = (): Promise<Uint8Array | null> => Promise.resolve(note === null ? null : base64(note));
    const steps = await verifyLogHead(
      { ...trust, witnessPolicy: policy ?? "" },
      { files: { ...files(), readWitnessed, ...other }, chain: null, memory: memory() },
    );
    return steps.find((step) => step.number === 10)?.status ?? "";
  };
  assert.equal(await judged(met?.text, scene.cosigned.note), "passed");
  assert.equal(await judged(unmet?.text, scene.cosigned.note), "failed");
  assert.equal(await judged(met?.text, scene.cosigned.spoiled), "failed");
  assert.equal(await judged(met?.text, null), "failed");
  assert.equal(await judged("quorum none\n", null), "absent");
  const older = base64(scene.judged.find((one) => one.name === "older")?.data ?? "");
  assert.equal(await judged(met?.text, scene.cosigned.note, { readCheckpoint: () => Promise.resolve(older) }), "failed");
});

test("a final receipt's transaction must be on the chain, where it says", async () => {
  const [block, other] = [`0x${"b1".repeat(32)}`, `0x${"b2".repeat(32)}`];
  const fields = { "audit.kind": "receipt", "audit.transaction": `0x${"7a".repeat(32)}`, "audit.block_hash": block };
  const with_ = (found: Awaited<ReturnType<Chain["findTransaction"]>>): Chain => ({
    ...chain(anchored),
    findTransaction: () => Promise.resolve(found),
  });
  const there = { blockNumber: 9n, blockHash: block, hasSucceeded: true };
  assert.equal((await verifyTransaction(fields, trust, with_(there))).status, "passed");
  assert.equal((await verifyTransaction({}, trust, with_(null))).status, "absent");
  await assert.rejects(verifyTransaction(fields, trust, with_(null)), Rejected);
  await assert.rejects(verifyTransaction(fields, trust, with_({ ...there, blockHash: other })), Rejected);
  await assert.rejects(verifyTransaction(fields, trust, with_({ ...there, hasSucceeded: false })), Rejected);
  await assert.rejects(verifyTransaction(fields, trust, { ...with_(there), readChainId: () => Promise.resolve(1) }), Rejected);
  const mined = { ...fields, "audit.finality": "mined" };
  assert.equal((await verifyTransaction(mined, trust, with_(null))).status, "absent");
  assert.equal((await verifyTransaction(mined, trust, with_({ ...there, blockHash: other }))).status, "absent");
});
