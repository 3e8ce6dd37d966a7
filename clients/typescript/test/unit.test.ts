/** The client under Node without a network: the vectors that Python and Solidity are held to, and what lies or is malformed. */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

import {
  type Abi,
  type AbiEvent,
  type AbiFunction,
  type Address,
  type Hex,
  type PublicClient,
  domainSeparator,
  getAddress,
  toEventSelector,
  toFunctionSelector,
} from "viem";

import { COPROCESSOR, DISPUTES, FEE_QUOTES, OPERATOR_REGISTRY, QUORUM_VERIFIER, TOKEN, VERIFIER, VERIFIER_ROUTER } from "../src/abi";
import { readDisputable, requireDisputes } from "../src/disputes";
import {
  AffidavitClient,
  Api,
  ApiRefused,
  type Deployment,
  type Policy,
  Rejected,
  Unreachable,
  type Verified,
  canonicalJson,
  checkDeployment,
  checkModel,
  compareReceipt,
  computeClaimDigest,
  computeModelId,
  computeRequestId,
  decodeReals,
  encodeReals,
  packInt16,
  packPolicy,
  parseEvents,
  recoverSigner,
  splitQuorum,
  unpackInt16,
  unpackPolicy,
} from "../src/index";
import { typedDomain } from "../src/protocol";

const read = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));
type Row = Record<string, string> & { indices: number[]; signers: Address[]; parameters: Hex[]; kind: number; valid: boolean };
const vectors = read("tests/vectors/protocol.json") as Record<string, (Row & Record<string, unknown>)[]>;
const rows = (name: string) => vectors[name] ?? [];
const domainOf = (row: Row) => ({ chain_id: BigInt(row["chainId"] ?? ""), coprocessor: row["coprocessor"] as Address });

// ---- bytes -------------------------------------------------------------------------------------------------------------------------

test("request ids are those of the vectors", () => {
  for (const row of rows("requests")) {
    const request = {
      requester: row["requester"] as Address,
      refundTo: row["refundTo"] as Address,
      modelId: row["modelId"] as Hex,
      inputDigest: row["inputDigest"] as Hex,
      policy: row["policy"] as Hex,
      feeWei: BigInt(row["feeWei"] ?? ""),
      callbackGas: Number(row["callbackGas"]),
      deadline: BigInt(row["deadline"] ?? ""),
      nonce: BigInt(row["nonce"] ?? ""),
    };
    assert.equal(computeRequestId(request, domainOf(row)), row["requestId"]);
  }
});

test("claim digests, and who signed them, are those of the vectors", async () => {
  for (const row of rows("claims")) {
    const claim = {
      requestId: row["requestId"] as Hex,
      modelId: row["modelId"] as Hex,
      inputDigest: row["inputDigest"] as Hex,
      outputDigest: row["outputDigest"] as Hex,
    };
    const digest = computeClaimDigest(claim, domainOf(row));
    assert.equal(digest, row["digest"]);
    const { bitmap, signatures } = splitQuorum(row["quorumData"] as Hex);
    assert.equal(bitmap, row.indices.reduce((sum, index) => sum | (1n << BigInt(index)), 0n));
    assert.deepEqual(await Promise.all(signatures.map((signature) => recoverSigner(digest, signature))), row.signers);
  }
});

test("model ids are those of the vectors", () => {
  for (const row of rows("models"))
    assert.equal(computeModelId(row.kind, row["manifestDigest"] as Hex, row["circuitDigest"] as Hex, row.parameters), row["modelId"]);
});

test("policies are read and written as the vectors say", () => {
  for (const row of rows("policies")) {
    const word = row["word"] as Hex;
    if (!row.valid) assert.throws(() => unpackPolicy(word), Rejected, String(row["name"]));
    else assert.equal(packPolicy(unpackPolicy(word)), word);
  }
  const wrong: Policy[] = [{}, { quorum: 256 }, { quorum: 1.5 }, { quorum: -1 }, { proof: true, windowSeconds: 2 ** 32 }, { windowSeconds: 5 }, { quorum: 1, simulated: true }, { quorum: 1, disputable: true }];
  assert.throws(() => unpackPolicy(`0x010104${"00".repeat(29)}`), Rejected);
  assert.equal(packPolicy({ quorum: 1, enclave: true, simulated: true }), `0x010106${"00".repeat(29)}`);
  assert.equal(unpackPolicy(`0x010106${"00".repeat(29)}`).simulated, true);
  assert.equal(packPolicy({ quorum: 1, windowSeconds: 600, disputable: true }), `0x01010800000258${"00".repeat(25)}`);
  for (const policy of wrong) assert.throws(() => packPolicy(policy), Rejected);
});

test("the ABI is the compiled contracts' own", () => {
  const pairs: [Abi, string][] = [
    [COPROCESSOR, "Coprocessor"],
    [OPERATOR_REGISTRY, "OperatorRegistry"],
    [TOKEN, "IERC20Metadata"],
    [FEE_QUOTES, "FeeQuotes"],
    [DISPUTES, "Disputes"],
    [VERIFIER_ROUTER, "VerifierRouter"],
    [QUORUM_VERIFIER, "QuorumVerifier"],
    [VERIFIER, "ProofVerifier"],
  ];
  for (const [abi, name] of pairs) {
    const compiled = (read(`oracle/artifacts/${name}.json`) as { abi: Abi }).abi;
    for (const item of abi) {
      const shape = (one: AbiFunction | AbiEvent) =>
        one.type === "event"
          ? `${toEventSelector(one)} ${one.inputs.map((input) => Boolean(input.indexed)).join()}`
          : `${toFunctionSelector(one)} ${one.stateMutability} ${JSON.stringify(typesOf(one.outputs))}`;
      const own = shape(item as AbiFunction | AbiEvent);
      const others = compiled.filter((one) => one.type === item.type && (item as AbiFunction).name === (one as AbiFunction).name);
      assert.ok(others.some((one) => shape(one as AbiFunction | AbiEvent) === own), `${name}.${(item as AbiFunction).name}`);
    }
  }
});

const typesOf = (outputs: AbiFunction["outputs"]): string[] => outputs.map(({ type }) => type);

// ---- signatures --------------------------------------------------------------------------------------------------------------------

test("only the canonical encoding of a signature is one", async () => {
  const row = rows("claims")[0];
  assert.ok(row);
  const digest = row["digest"] as Hex;
  const signature = splitQuorum(row["quorumData"] as Hex).signatures[0] as Hex;
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
  const s = BigInt(`0x${signature.slice(66, 130)}`);
  const high = (order - s).toString(16).padStart(64, "0");
  const flipped = signature.endsWith("1b") ? "1c" : "1b";
  const wrong: Hex[] = [
    `${signature.slice(0, 66)}${high}${flipped}` as Hex, // the same signature, with s in the upper half
    `${signature.slice(0, -2)}00` as Hex,
    signature.slice(0, -2) as Hex,
    `0x${"00".repeat(64)}1b`,
  ];
  for (const one of wrong) await assert.rejects(recoverSigner(digest, one), Rejected);
});

test("quorum evidence has exactly one signature for each bit", () => {
  const bitmap = (bits: bigint) => bits.toString(16).padStart(64, "0");
  for (const data of [`0x${bitmap(0n)}`, `0x${bitmap(1n)}`, `0x${bitmap(3n)}${"11".repeat(65)}`, `0x${bitmap(1n)}${"11".repeat(66)}`, "0x01"])
    assert.throws(() => splitQuorum(data as Hex), Rejected);
});

// ---- models ------------------------------------------------------------------------------------------------------------------------

const seeds = readdirSync("seeds/models").filter((name) => name === "digits-mlp" || name === "wine-mlp");
const published = JSON.parse(readFileSync(process.env["AFFIDAVIT_MODELS"] ?? "", "utf8")) as Record<
  string,
  { modelId: Hex; parameters: Hex[]; real: number[]; input: Hex; output: Hex; decoded: number[] }
>;

test("a manifest is believed only under its own id, and numbers become Python's bytes", () => {
  assert.equal(seeds.length, 2);
  for (const name of seeds) {
    const manifest = read(`seeds/models/${name}/canonical/manifest.json`) as Record<string, unknown>;
    const known = published[name];
    assert.ok(known);
    const model = checkModel(known.modelId, manifest, known.parameters);
    assert.equal(encodeReals(model, known.real), known.input);
    assert.deepEqual(decodeReals(model, known.output), known.decoded);
    assert.throws(() => checkModel(known.modelId, { ...manifest, name: "another" }, known.parameters), Rejected);
    assert.throws(() => checkModel(known.modelId, manifest, []), Rejected);
    assert.throws(() => checkModel(`0x${"11".repeat(32)}`, manifest, known.parameters), Rejected);
    assert.throws(() => encodeReals(model, known.real.slice(1)), Rejected);
    assert.throws(() => encodeReals(model, known.real.map(() => NaN)), Rejected);
    assert.throws(() => decodeReals(model, "0x0001"), Rejected);
  }
});

test("integers are packed big-endian and read back", () => {
  assert.equal(packInt16([1, -1, 32767, -32768]), "0x0001ffff7fff8000");
  assert.deepEqual(unpackInt16("0x0001ffff7fff8000"), [1, -1, 32767, -32768]);
  for (const value of [32768, -32769, 0.5, NaN]) assert.throws(() => packInt16([value]), Rejected);
  assert.throws(() => unpackInt16("0x01"), Rejected);
});

test("canonical JSON sorts by UTF-16 units and writes numbers as RFC 8785 asks", () => {
  assert.equal(canonicalJson({ b: [1.5, 1e21, -0], a: { "\u20ac": null, "\ud83d\ude00": true } }), '{"a":{"€":null,"😀":true},"b":[1.5,1e+21,0]}');
});

// ---- the API -----------------------------------------------------------------------------------------------------------------------

async function* lines(text: string): AsyncGenerator<string> {
  yield* text.split("\n");
}

test("events are read as the standard says, and a cut one is none", async () => {
  const text = ':ping\nid: 1\nevent:seen\ndata: {"a":1}\n\nid: 2\nevent: cut\ndata: {}';
  const found = [];
  for await (const step of parseEvents(lines(text))) found.push(step);
  assert.deepEqual(found, [{ id: "1", kind: "seen", data: { a: 1 } }]);
  for (const data of ["[]", "7", "{"])
    await assert.rejects(async () => {
      for await (const step of parseEvents(lines(`data: ${data}\n\n`))) assert.fail(step.kind);
    }, Rejected);
});

test("a stream that breaks off is taken up again where it was, without repeating a step", async () => {
  const asked: (string | null)[] = [];
  const event = (id: number) => `id: ${id}\nevent: step\ndata: {}\n\n`;
  const get: typeof fetch = (url, options) => {
    // It becomes final while the third stream ends: the last step comes by the fourth.
    if (!String(url).endsWith("/events")) return Promise.resolve(Response.json({ is_final: asked.length > 2 }));
    asked.push(new Headers(options?.headers).get("last-event-id"));
    if (asked.length === 2) return Promise.reject(new TypeError("cut off"));
    return Promise.resolve(new Response(event([1, 0, 2, 3][asked.length - 1] ?? 0) + "id: 9\nevent: cut\n"));
  };
  const ids = [];
  for await (const step of new Api("http://api.test", get).follow(`0x${"11".repeat(32)}`)) ids.push(step.id);
  assert.deepEqual(ids, ["1", "2", "3"]);
  assert.deepEqual(asked, [null, "1", "1", "2"]);
});

test("why a request will come to nothing is told, and nonsense is not passed on", async () => {
  const answering = (told: object) => new Api("http://api.test/", () => Promise.resolve(Response.json(told)));
  const told = { state: "collecting", is_final: false, reason: "the fee is below what enough operators ask for" };
  const read = { state: "collecting", isFinal: false, reason: told.reason };
  assert.deepEqual(await answering(told).progress(word("01")), read);
  assert.deepEqual(await answering({ ...told, reason: null }).progress(word("01")), { ...read, reason: null });
  for (const lie of [{ state: 1 }, { is_final: "yes" }, { reason: ["x"] }, { reason: undefined }])
    await assert.rejects(answering({ ...told, ...lie }).progress(word("01")), Rejected);
});

test("a refusal has its reason, and a server that fails is not believed to refuse", async () => {
  const answering = (status: number, body: BodyInit) => new Api("http://api.test/", () => Promise.resolve(new Response(body, { status })));
  const problem = JSON.stringify({ title: "RequestUnpaid", detail: "deposit" });
  await assert.rejects(answering(402, problem).receipt("0x"), (error) => error instanceof ApiRefused && error.title === "RequestUnpaid");
  await assert.rejects(answering(503, problem).receipt("0x"), Unreachable);
  await assert.rejects(answering(200, "<html>").receipt("0x"), Unreachable);
  await assert.rejects(answering(200, "[]").receipt("0x"), Rejected);
});

test("an answer without end is not read on", async () => {
  const piece = new Uint8Array(1 << 18);
  let taken = 0;
  const endless = () =>
    new ReadableStream<Uint8Array>({ pull: (to) => (taken > 96 << 20 ? to.close() : ((taken += piece.length), to.enqueue(piece))) });
  const api = new Api("http://api.test/", () => Promise.resolve(new Response(endless())));
  await assert.rejects(api.receipt("0x"), (error) => error instanceof Unreachable && /sent more than/.test(error.message));
  assert.ok(taken < 24 << 20, `${taken} bytes were read`);
});

test("an event with fields without number is not kept", async () => {
  async function* fields() {
    for (let at = 0; at < 1000; at++) yield `field${at}: x`;
    yield "";
  }
  await assert.rejects(async () => {
    for await (const step of parseEvents(fields())) assert.fail(step.kind);
  }, /at most 8 fields/);
});

test("an API that sends us elsewhere is not followed", async () => {
  const asked: (string | undefined)[] = [];
  const api = new Api("http://api.test/", (_url, options) => (asked.push(options?.redirect), Promise.reject(new TypeError("redirected"))));
  await assert.rejects(api.receipt("0x"), Unreachable);
  assert.deepEqual(asked, ["error"]);
});

test("what is no text is told and ends nothing, and no terminal obeys it", async () => {
  const odd = { toString: 1, valueOf: 2 };
  const answering = (status: number, body: unknown) => new Api("http://api.test/", () => Promise.resolve(Response.json(body, { status })));
  await assert.rejects(answering(422, { title: odd, detail: odd }).receipt("0x"), (error) => error instanceof ApiRefused && error.title.includes("toString"));
  await assert.rejects(answering(422, { title: "T\u001b[2J", detail: "\u001b]0;x\u0007\u202e" }).receipt("0x"), (error) =>
    error instanceof ApiRefused && error.message === "T?[2J: ?]0;x??",
  );
  await assert.rejects(answering(200, null).receipt("0x"), /expected a JSON object, got null/);
  assert.throws(() => compareReceipt(verified, { request_id: odd }), (error) => error instanceof Rejected && /request_id/.test(error.message));
  assert.throws(() => compareReceipt(verified, { signers: [odd, null, { signer: odd }] }), Rejected);
  assert.throws(() => checkModel(word("01"), { kind: odd }, []), Rejected);
  assert.throws(() => checkModel(word("01"), { kind: "opaque", deep: JSON.parse("[".repeat(9e4) + "]".repeat(9e4)) as unknown }, []), /at most 64 deep/);
});

test("a false deployment is refused before anything is paid, signed or believed", async () => {
  const [coprocessor, router, registry, verifier, stranger] = ["a1", "a2", "a3", "a4", "bb"].map((byte) => getAddress(`0x${byte.repeat(20)}`));
  const at = { chain_id: 31337, block_number: 0, coprocessor, operator_registry: registry, verifier_router: router, fee_quotes: verifier, disputes: stranger };
  const answers: Record<string, unknown> = {
    DOMAIN_SEPARATOR: domainSeparator({ domain: typedDomain(at as Deployment) }),
    ROUTER: router,
    DISPUTES: stranger,
    routeOf: [verifier, 1, 1],
    OPERATORS: registry,
  };
  const chainOf = (changed: Record<string, unknown> = {}, id = 31337): PublicClient =>
    ({
      getChainId: () => Promise.resolve(id),
      readContract: ({ functionName }: { functionName: string }) => Promise.resolve({ ...answers, ...changed }[functionName]),
    }) as unknown as PublicClient;
  await checkDeployment(chainOf(), at as Deployment);
  await checkDeployment(chainOf(), { ...at, fee_quotes: undefined, disputes: null } as unknown as Deployment);
  const lies: [RegExp, Promise<void>][] = [
    [/chain id of the endpoint/, checkDeployment(chainOf({}, 1), at as Deployment)],
    [/chain id of the endpoint/, checkDeployment(chainOf(), { ...at, chain_id: 1 } as Deployment)],
    [/EIP-712 domain/, checkDeployment(chainOf({ DOMAIN_SEPARATOR: word("01") }), at as Deployment)],
    [/verifier_router of the deployment/, checkDeployment(chainOf(), { ...at, verifier_router: stranger } as Deployment)],
    [/disputes of the deployment/, checkDeployment(chainOf(), { ...at, disputes: registry } as Deployment)],
    [/operator_registry of the deployment.*QuorumVerifier/, checkDeployment(chainOf(), { ...at, operator_registry: stranger, fee_quotes: undefined } as unknown as Deployment)],
    [/operator_registry of the deployment.*FeeQuotes/, checkDeployment(quotesOf(chainOf(), verifier, stranger), { ...at, fee_quotes: stranger } as Deployment)],
    [/chain_id of the deployment/, checkDeployment(chainOf(), { ...at, chain_id: 1.5 } as Deployment)],
    [/chain_id of the deployment/, checkDeployment(chainOf(), { ...at, chain_id: "31337" } as unknown as Deployment)],
    [/block_number of the deployment/, checkDeployment(chainOf(), { ...at, block_number: -1 } as Deployment)],
    [/coprocessor of the deployment/, checkDeployment(chainOf(), { ...at, coprocessor: undefined } as unknown as Deployment)],
    [/fee_quotes of the deployment/, checkDeployment(chainOf(), { ...at, fee_quotes: "0x12" } as Deployment)],
  ];
  for (const [says, checked] of lies) await assert.rejects(checked, (error) => error instanceof Rejected && says.test(error.message), String(says));
  const silent = { getChainId: () => Promise.reject(new Error("no")) } as unknown as PublicClient;
  await assert.rejects(checkDeployment(silent, at as Deployment), Unreachable);
  const client = new AffidavitClient({ deployment: at as Deployment, chain: chainOf({}, 1) });
  for (const use of [() => client.verify(word("01")), () => client.quote(word("01"), { quorum: 1 }), () => client.balanceOf(stranger as Hex), () => client.asset()])
    await assert.rejects(use(), /chain id of the endpoint/);
});

/** The same chain, on which the price list is another's: it names other seats than the verifier. */
function quotesOf(chain: PublicClient, verifier: unknown, stranger: unknown): PublicClient {
  const readContract = (call: { address: unknown; functionName: string }) =>
    call.functionName === "OPERATORS" && call.address !== verifier ? Promise.resolve(stranger) : chain.readContract(call as never);
  return { getChainId: () => chain.getChainId(), readContract } as unknown as PublicClient;
}

test("a deployment that names a stranger's disputes is refused before anything is paid", async () => {
  const [own, stranger] = [`0x${"aa".repeat(20)}`, `0x${"bb".repeat(20)}`] as const;
  const chain = { readContract: () => Promise.resolve(own) } as unknown as PublicClient;
  const at = { chain_id: 31337, block_number: 0, coprocessor: own, operator_registry: own, verifier_router: own } as unknown as Deployment;
  await requireDisputes(chain, { ...at, disputes: `0x${"AA".repeat(20)}` });
  await assert.rejects(requireDisputes(chain, { ...at, disputes: stranger }), /expected 0xaa.* as the Coprocessor names them, got 0xbb/);
  await assert.rejects(readDisputable(chain, { ...at, disputes: stranger }, word("01")), /as the Coprocessor names them/);
});

// ---- receipts ----------------------------------------------------------------------------------------------------------------------

const word = (byte: string): Hex => `0x${byte.repeat(32)}`;
const verified: Verified = {
  requestId: word("01"),
  modelId: word("02"),
  requester: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
  policy: { quorum: 1, proof: true, enclave: false, simulated: false, windowSeconds: 0, disputable: false },
  output: "0x0001",
  outputDigest: word("03"),
  claimDigest: word("04"),
  transaction: word("05"),
  blockNumber: 7n,
  blockHash: word("06"),
  callback: "NONE",
  signers: [{ operator: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", signer: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8" }],
  prover: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
  isReplaced: false,
  checked: ["quorum", "proof"],
  unchecked: [],
};

test("every lie of a receipt is found by name", () => {
  const honest: Record<string, unknown> = {
    request_id: verified.requestId,
    model_id: verified.modelId,
    transaction: verified.transaction,
    block_number: 7,
    block_hash: verified.blockHash,
    status: "FINAL",
    callback: "NONE",
    output: verified.output,
    output_digest: verified.outputDigest,
    signers: verified.signers.map(({ signer }) => ({ index: 0, operator: signer, signer })),
    prover: verified.prover,
    replaced: null,
  };
  compareReceipt(verified, honest);
  for (const name of Object.keys(honest)) {
    const says = new RegExp(`receipt of the API, ${name}`);
    assert.throws(() => compareReceipt(verified, { ...honest, [name]: name === "replaced" ? {} : "another" }), says);
    if (name !== "replaced") assert.throws(() => compareReceipt(verified, { ...honest, [name]: undefined }), says);
  }
  assert.throws(() => compareReceipt(verified, { ...honest, signers: [] }), /signers/);
  const [one] = honest["signers"] as Record<string, unknown>[];
  assert.throws(() => compareReceipt(verified, { ...honest, signers: [{ ...one, operator: word("07").slice(0, 42) }] }), /signers/);
  const unproven = { ...verified, prover: null, checked: ["quorum"], policy: { ...verified.policy, proof: false } } as Verified;
  compareReceipt(unproven, { ...honest, prover: null });
  assert.throws(() => compareReceipt(unproven, honest), /receipt of the API, prover/);
});
