/** The client against a running network: asks in both ways, follows, believes the chain and not the API, and fetches evidence. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { type EIP1193RequestFn, type Hex, createPublicClient, createWalletClient, custom, defineChain, http, toFunctionSelector } from "viem";
import { privateKeyToAccount } from "viem/accounts";

import { OPERATOR_REGISTRY } from "../src/abi";
import { AffidavitClient, ApiRefused, type Deployment, Rejected, type Step, encodeReals } from "../src/index";

const env = (name: string): string => process.env[name] ?? assert.fail(`${name} is not set`);
const deployment = JSON.parse(readFileSync(env("AFFIDAVIT_DEPLOYMENT"), "utf8")) as Deployment;
const rpc = env("AFFIDAVIT_RPC");
const account = privateKeyToAccount(readFileSync(env("AFFIDAVIT_TEST_KEY_FILE"), "utf8").trim() as Hex);
const local = defineChain({
  id: Number(deployment.chain_id),
  name: "local",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [rpc] } },
});
const chain = createPublicClient({ chain: local, transport: http(rpc), pollingInterval: 100 });
const wallet = createWalletClient({ account, chain: local, transport: http(rpc) });
const api = env("AFFIDAVIT_API");
const client = new AffidavitClient({ deployment, chain, wallet, api, logVkey: env("AFFIDAVIT_VKEY") });
const modelId = env("AFFIDAVIT_MODEL_ID") as Hex;
const sample = JSON.parse(readFileSync("seeds/requests/digits-mlp.json", "utf8")) as { samples: { input: number[] }[] };
const image = sample.samples[3]?.input ?? [];
const QUORUM = { policy: { quorum: 2 }, feeWei: 1000n, patienceSeconds: 600 };
const PROOF = { policy: { proof: true }, feeWei: 1000n, patienceSeconds: 600 };

async function finish(requestId: Hex): Promise<Step[]> {
  const steps = [];
  for await (const step of client.follow(requestId)) steps.push(step);
  return steps;
}

let quorumId: Hex = "0x";
let proofId: Hex = "0x";

test("a question asked on chain is answered, and the answer believed for its signatures", async () => {
  const model = await client.model(modelId);
  const asked = await client.ask(modelId, encodeReals(model, image), QUORUM);
  assert.ok(asked.transaction);
  quorumId = asked.requestId;
  assert.equal((await finish(quorumId)).at(-1)?.kind, "final");
  const verified = await client.verify(quorumId, { modelId, policy: QUORUM.policy, requireComplete: true });
  assert.deepEqual(verified.checked, ["quorum"]);
  assert.equal(verified.signers.length, 2);
  assert.equal(verified.requester, account.address);
  assert.equal((await client.receipt(quorumId))["output"], verified.output);
});

test("a signed question is answered with a proof, which the chain verifies again for this client", async () => {
  await client.deposit(10_000n);
  assert.ok((await client.balanceOf(account.address)) >= 10_000n);
  const asked = await client.askSigned(modelId, encodeReals(await client.model(modelId), image), PROOF);
  proofId = asked.requestId;
  assert.equal((await finish(proofId)).at(-1)?.kind, "final");
  const verified = await client.verify(proofId, { modelId, policy: PROOF.policy, requireComplete: true });
  assert.deepEqual(verified.checked, ["proof"]);
  assert.ok(verified.prover);
  assert.equal((await client.receipt(proofId))["prover"], verified.prover);
});

test("the log's entries are proven under the log's own key", async () => {
  let kinds: string[] = [];
  for (let tries = 0; tries < 60 && !kinds.includes("receipt"); tries++) {
    kinds = (await client.evidence(quorumId)).entries.map((entry) => entry.kind);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  for (const kind of ["intent", "result", "receipt"]) assert.ok(kinds.includes(kind), kinds.join());
});

test("what was not asked for is no answer to it", async () => {
  await assert.rejects(client.verify(quorumId, { policy: { quorum: 3 } }), /policy of the answer/);
  await assert.rejects(client.verify(quorumId, { modelId: `0x${"11".repeat(32)}` }), /model of the answer/);
  await assert.rejects(client.verify(quorumId, { confirmations: 1_000_000 }), /blocks deep/);
  await assert.rejects(client.verify(`0x${"11".repeat(32)}`), /expected FINAL, got NONE/);
});

test("a refusal of the API keeps its reason", async () => {
  const poor = { ...PROOF, feeWei: 10n ** 30n };
  const input = encodeReals(await client.model(modelId), image);
  await assert.rejects(client.askSigned(modelId, input, poor), (error) => error instanceof ApiRefused && error.title === "RequestUnpaid");
});

/** An API that passes everything on, and says something else of every receipt, record and manifest. */
function lying(change: (path: string, body: Record<string, unknown>) => void): typeof fetch {
  return async (url, options) => {
    const answer = await fetch(url, options);
    const body = (await answer.json()) as Record<string, unknown>;
    change(String(url), body);
    return Response.json(body, { status: answer.status });
  };
}

test("an API that lies is caught, whatever it lies about", async () => {
  type Body = Record<string, unknown>;
  type Lie = [path: string, lie: (body: Body) => unknown, ask: (other: AffidavitClient) => Promise<unknown>];
  const first = (body: Body) => (body["entries"] as { record: Record<string, string> }[])[0]?.record ?? {};
  const lies: Lie[] = [
    ["/receipt", (body) => (body["output"] = "0x0000"), (other) => other.receipt(quorumId)],
    ["/receipt", (body) => (body["signers"] = []), (other) => other.receipt(quorumId)],
    ["/receipt", (body) => (body["transaction"] = quorumId), (other) => other.receipt(quorumId)],
    ["/proof", (body) => (body["request_id"] = proofId), (other) => other.evidence(quorumId)],
    ["/proof", (body) => (first(body)["audit.kind"] = "error"), (other) => other.evidence(quorumId)],
    ["/proof", (body) => (body["entries"] as unknown[]).reverse(), (other) => other.evidence(quorumId)],
    ["/models/", (body) => ((body["manifest"] as Body)["name"] = "another"), (other) => other.model(modelId)],
  ];
  for (const [path, lie, ask] of lies) {
    const liar = lying((url, body) => void (url.includes(path) && lie(body)));
    const other = new AffidavitClient({ deployment, chain, api, fetch: liar, logVkey: env("AFFIDAVIT_VKEY") });
    await assert.rejects(ask(other), Rejected, path);
  }
});

/** The same chain through an endpoint that changes some answers. */
function tampered(change: (method: string, params: unknown[], answer: unknown) => unknown): AffidavitClient {
  const request: EIP1193RequestFn = (async ({ method, params }: { method: string; params?: unknown[] }) =>
    change(method, params ?? [], await chain.request({ method, params } as never))) as never;
  return new AffidavitClient({ deployment, chain: createPublicClient({ chain: local, transport: custom({ request }) }) });
}

test("evidence that the registry does not bear out is none", async () => {
  const selector = toFunctionSelector(OPERATOR_REGISTRY[0]);
  const strangers = tampered((method, params, answer) => {
    const call = params[0] as { data?: Hex } | undefined;
    if (method !== "eth_call" || !call?.data?.startsWith(selector)) return answer;
    return `${String(answer).slice(0, -40)}${"ab".repeat(20)}`; // another key on the last seat
  });
  await assert.rejects(strangers.verify(quorumId), /signatures by the active operators/);
});

test("calldata whose signatures were changed shows no quorum, and calldata of another request shows nothing", async () => {
  const honest = await client.verify(quorumId);
  const input = (await chain.getTransaction({ hash: honest.transaction })).input;
  const changing = (edit: (data: string) => string) =>
    tampered((method, _params, answer) =>
      method === "eth_getTransactionByHash" ? { ...(answer as object), input: edit(input) } : answer,
    );
  const s = input.lastIndexOf("1b") > input.lastIndexOf("1c") ? "1b" : "1c";
  const at = input.lastIndexOf(s);
  const flip = (data: string) => data.slice(0, at) + (s === "1b" ? "1c" : "1b") + data.slice(at + 2);
  await assert.rejects(changing(flip).verify(quorumId), Rejected);
  const fee = (1000).toString(16).padStart(64, "0");
  assert.ok(input.includes(fee));
  const hidden = changing((data) => data.replace(fee, (1001).toString(16).padStart(64, "0")));
  const verified = await hidden.verify(quorumId);
  assert.deepEqual([verified.checked, verified.policy], [[], null]);
  await assert.rejects(hidden.verify(quorumId, { requireComplete: true }), /all of it verified here/);
});

test("a block that is not the chain's holds no delivery", async () => {
  const forked = tampered((method, _params, answer) =>
    method === "eth_getBlockByNumber" && answer ? { ...(answer as object), hash: `0x${"ab".repeat(32)}` } : answer,
  );
  await assert.rejects(forked.verify(quorumId), /block of the delivery/);
});

test("an event of another output is not believed", async () => {
  const events = tampered((method, _params, answer) => {
    if (method !== "eth_getLogs") return answer;
    return (answer as { data: string }[]).map((log) => ({ ...log, data: `${log.data.slice(0, 2)}ab${log.data.slice(4)}` }));
  });
  await assert.rejects(events.verify(quorumId), Rejected);
});
