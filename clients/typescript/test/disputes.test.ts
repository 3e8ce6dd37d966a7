/** The client disputes an honest answer on a network whose operators vote: the answer stands, and the bond is lost. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { type Hex, createPublicClient, createWalletClient, defineChain, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";

import { AffidavitClient, type Deployment, Rejected } from "../src/index";

const env = (name: string): string => process.env[name] ?? assert.fail(`${name} is not set`);
const deployment = JSON.parse(readFileSync(env("AFFIDAVIT_DEPLOYMENT"), "utf8")) as Deployment;
const transport = http(env("AFFIDAVIT_RPC"));
const account = privateKeyToAccount(readFileSync(env("AFFIDAVIT_TEST_KEY_FILE"), "utf8").trim() as Hex);
const local = defineChain({
  id: Number(deployment.chain_id),
  name: "local",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [env("AFFIDAVIT_RPC")] } },
});
const chain = createPublicClient({ chain: local, transport, pollingInterval: 100 });
const wallet = createWalletClient({ account, chain: local, transport });
const client = new AffidavitClient({ deployment, chain, wallet, api: env("AFFIDAVIT_API") });
const modelId = env("AFFIDAVIT_MODEL_ID") as Hex;
const input = env("AFFIDAVIT_INPUT") as Hex;
const DISPUTABLE = { policy: { quorum: 1, windowSeconds: 600, disputable: true }, feeWei: 1000n, patienceSeconds: 600 };

/** Until it neither throws nor gives null, for a minute at most; then what it threw last. */
async function soon<T>(what: () => Promise<T | null>): Promise<T> {
  for (let tries = 0; ; tries++) {
    const found = await what().catch((error: unknown) => (tries < 240 ? null : Promise.reject(error)));
    if (found !== null) return found;
    assert.ok(tries < 240, "not within a minute");
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

async function pending(policy = DISPUTABLE.policy): Promise<Hex> {
  const { requestId } = await client.ask(modelId, input, { ...DISPUTABLE, policy });
  for await (const step of client.follow(requestId)) if (step.kind === "pending") break;
  return requestId;
}

test("an honest answer that is disputed stands, and its bond is lost", async () => {
  const requestId = await pending();
  const bondWei = await client.bondWei();
  assert.ok(bondWei > 0n);
  await assert.rejects(client.ruling(requestId), /dispute: expected one about 0x/);
  await assert.rejects(client.dispute(requestId, bondWei - 1n), /bond: expected \d+ wei/);
  const before = await chain.getBalance({ address: account.address });
  const opened = await client.dispute(requestId, bondWei);
  assert.deepEqual([opened.outcome, opened.phase, opened.challenger, opened.isAudit], ["OPEN", "DRAWING", account.address, false]);
  assert.ok(before - (await chain.getBalance({ address: account.address })) >= bondWei);
  await assert.rejects(client.dispute(requestId, bondWei), /none before it, got one by 0x/);
  assert.equal((await soon(() => client.draw(requestId))).members.length, 3);
  const ruling = await soon(async () => {
    const seen = await client.ruling(requestId);
    return seen.outcome === "OPEN" ? null : seen;
  });
  assert.deepEqual([ruling.outcome, ruling.phase, ruling.majority.length], ["STANDS", "CLOSED", 3]);
  assert.ok(ruling.closedAt > 0n);
  assert.equal(await client.takeBond(requestId), 0n);
});

test("what cannot be disputed costs nothing", async () => {
  const bondWei = await client.bondWei();
  await assert.rejects(client.dispute(`0x${"11".repeat(32)}`, bondWei), /expected PENDING, got NONE/);
  const plain = await pending({ ...DISPUTABLE.policy, disputable: false });
  await assert.rejects(client.dispute(plain, bondWei), /policy of the request: expected a disputable one/);
  const { disputes: _, ...older } = deployment;
  const without = new AffidavitClient({ deployment: older, chain, wallet });
  await assert.rejects(without.dispute(plain, bondWei), (error) => error instanceof Rejected && /disputes of the deployment/.test(error.message));
});
