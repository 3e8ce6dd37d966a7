/** The client: one deployment, an endpoint of one's own to believe, and an API to ask for what the chain does not keep. */

import {
  type Account,
  type Address,
  type Chain,
  type Hex,
  type PublicClient,
  type Transport,
  type WalletClient,
  bytesToHex,
  keccak256,
  parseEventLogs,
  zeroAddress,
} from "viem";

import { Rejected } from "../../../web/src/verify/rejected";
import { COPROCESSOR, DISPUTES, FEE_QUOTES, TOKEN } from "./abi";
import { Api, type Progress, type Step } from "./api";
import { type Dispute, disputesOf, findDispute, readBond, readDisputable } from "./disputes";
import { checkDeployment } from "./deployment";
import { type LoggedEvidence, verifyLogged } from "./evidence";
import { type Model, checkModel } from "./model";
import {
  type Deployment,
  type Policy,
  REQUEST_TYPES,
  type Request,
  SIGNED_NONCE_START,
  computeRequestId,
  packPolicy,
  typedDomain,
} from "./protocol";
import { tell } from "./tell";
import { type Verified, type Wanted, compareReceipt, isRevert, verifyOnChain } from "./verify";

export interface Options {
  /** From a source that is not the API. */
  deployment: Deployment;
  /** An endpoint you trust, best your own node: it is what verification rests on. */
  chain: PublicClient;
  /** Who asks and pays. */
  wallet?: WalletClient<Transport, Chain, Account>;
  /** Base URL of an API: for signed requests, following and the log's entries. It is believed in nothing. */
  api?: string;
  /** In place of the global one, for tests and for proxies. */
  fetch?: typeof fetch;
  /** The log's verifier key, from a source that is not the API. */
  logVkey?: string;
}

export interface Terms {
  policy: Policy;
  feeWei: bigint;
  /** Gas for `onInference`, where the requester is a contract. */
  callbackGas?: number;
  /** Deadline from now, by the later of this machine's clock and the chain's. */
  patienceSeconds: number;
}

export interface Asked {
  requestId: Hex;
  request: Request;
  /** Null for a signed request. */
  transaction: Hex | null;
}

/**
 * Before anything is paid, signed or believed, the deployment is held against what its contracts say of each other, once: every method
 * that uses the chain throws Rejected where it contradicts them (`checkDeployment`).
 */
export class AffidavitClient {
  private readonly served: Api | null;
  private checking: Promise<void> | null = null;

  constructor(private readonly options: Options) {
    this.served = options.api === undefined ? null : new Api(options.api, options.fetch);
  }

  /** What a model takes and gives: the API's manifest, which must hash to the id. Throws Rejected where it does not. */
  async model(modelId: Hex): Promise<Model> {
    const told = await this.api().model(modelId);
    return checkModel(modelId, told["manifest"], told["parameters"]);
  }

  /**
   * Asks by a transaction, and waits until it is mined. It pays the fee where that is ether; where it is a token, the fee comes from the
   * account's deposit.
   */
  async ask(modelId: Hex, input: Hex, terms: Terms): Promise<Asked> {
    const { chain, deployment } = await this.checked();
    const policy = packPolicy(terms.policy);
    const transaction = await this.sendRequest(modelId, input, policy, terms);
    const receipt = await chain.waitForTransactionReceipt({ hash: transaction });
    if (receipt.status !== "success") throw new Rejected("transaction", "one that asks", receipt.status);
    const [event] = parseEventLogs({ abi: COPROCESSOR, eventName: "InferenceRequested", logs: receipt.logs });
    if (!event) throw new Rejected("transaction", "one that asks", "no request in it");
    const asked = event.args.request;
    const requestId = computeRequestId(asked, deployment);
    const isMine = asked.policy === policy && asked.inputDigest === keccak256(input) && asked.modelId === modelId.toLowerCase();
    if (requestId !== event.args.requestId || !isMine)
      throw new Rejected("request on chain", "the one that was sent", event.args.requestId);
    return { requestId, request: asked, transaction };
  }

  /** Asks by a signature over a request every byte of which is made here; the fee comes from the account's deposit. */
  async askSigned(modelId: Hex, input: Hex, terms: Terms): Promise<Asked> {
    const wallet = this.wallet();
    const { deployment } = await this.checked();
    const request: Request = {
      requester: wallet.account.address,
      refundTo: wallet.account.address,
      modelId,
      inputDigest: keccak256(input),
      policy: packPolicy(terms.policy),
      feeWei: terms.feeWei,
      callbackGas: terms.callbackGas ?? 0,
      deadline: (await this.now()) + BigInt(terms.patienceSeconds),
      nonce: makeNonce(),
    };
    const domain = typedDomain(deployment);
    const signature = await wallet.signTypedData({ domain, types: REQUEST_TYPES, primaryType: "InferenceRequest", message: request });
    const requestId = computeRequestId(request, deployment);
    const told = await this.api().submit(request, signature, input);
    if (told["request_id"] !== requestId) throw new Rejected("request id of the API", requestId, tell(told["request_id"]));
    return { requestId, request, transaction: null };
  }

  /**
   * The least fee with which enough active operators are content, by what they posted on chain; no API is asked. A price, not a promise.
   * Throws where too few posted one, Rejected where the deployment has nowhere to post.
   */
  async quote(modelId: Hex, policy: Policy): Promise<{ feeWei: bigint; shareWei: bigint; shares: bigint }> {
    const { chain, deployment } = await this.checked();
    const address = deployment.fee_quotes;
    if (!address) throw new Rejected("fee_quotes of the deployment", "an address", "none");
    const args = [modelId, packPolicy(policy)] as const;
    const [feeWei, shareWei, shares] = await chain.readContract({ address, abi: FEE_QUOTES, functionName: "quote", args });
    return { feeWei, shareWei, shares };
  }

  /** Deposits, and waits until it is mined. A token is approved first, for exactly the amount. */
  async deposit(amountWei: bigint): Promise<Hex> {
    const wallet = this.wallet();
    const address = this.options.deployment.coprocessor;
    const token = await this.asset();
    if (token === null) {
      return this.mined(await wallet.writeContract({ address, abi: COPROCESSOR, functionName: "deposit", value: amountWei }), "deposits");
    }
    await this.approve(token, amountWei);
    return this.mined(await wallet.writeContract({ address, abi: COPROCESSOR, functionName: "depositToken", args: [amountWei] }), "deposits");
  }

  /** The token that fees are paid in; null for ether. */
  async asset(): Promise<Address | null> {
    const { chain, deployment } = await this.checked();
    const address = deployment.coprocessor;
    const asset = await chain.readContract({ address, abi: COPROCESSOR, functionName: "ASSET" });
    return asset === zeroAddress ? null : asset;
  }

  /** What an account can withdraw, and its signed requests can be paid from. */
  async balanceOf(account: Address): Promise<bigint> {
    const { chain, deployment } = await this.checked();
    const address = deployment.coprocessor;
    return chain.readContract({ address, abi: COPROCESSOR, functionName: "balanceOf", args: [account] });
  }

  /** Every step the API tells of, until the request is final. A story, not evidence: `verify` afterwards. */
  async *follow(requestId: Hex): AsyncGenerator<Step> {
    await this.api().waitKnown(requestId);
    yield* this.api().follow(requestId);
  }

  /** How far the request is, and why it failed or will come to nothing. The API's words, not evidence. */
  async progress(requestId: Hex): Promise<Progress> {
    return this.api().progress(requestId);
  }

  /** The final answer, from the chain alone; no API is asked. Throws Rejected where something does not hold. */
  async verify(requestId: Hex, wanted: Wanted = {}): Promise<Verified> {
    const { chain, deployment } = await this.checked();
    return verifyOnChain(chain, deployment, requestId, wanted);
  }

  /** The API's receipt, with the output decoded, held against the chain field by field. Throws Rejected where it lies. */
  async receipt(requestId: Hex): Promise<Record<string, unknown>> {
    const verified = await this.verify(requestId);
    const told = await this.api().receipt(requestId);
    compareReceipt(verified, told);
    return told;
  }

  /** The audit log's entries about a request, each proven to be in the log whose key was given. Throws Rejected. */
  async evidence(requestId: Hex): Promise<LoggedEvidence> {
    const { logVkey } = this.options;
    if (logVkey === undefined) throw new Rejected("logVkey", "the log's verifier key", "none");
    return verifyLogged(requestId, await this.api().proof(requestId), logVkey);
  }

  /** What `dispute` takes, in wei of the chain's own coin. Throws Rejected where the deployment has no disputes. */
  async bondWei(): Promise<bigint> {
    const { chain, deployment } = await this.checked();
    return readBond(chain, deployment);
  }

  /**
   * Has a committee of operators decide about a pending answer. The bond, which must be exactly `bondWei()`, is lost where they find it
   * right. Throws Rejected where it cannot be disputed now, viem's error where the contract refuses: an own answer, or fewer than three
   * others to judge it.
   */
  async dispute(requestId: Hex, bondWei: bigint): Promise<Dispute> {
    const { chain, deployment } = await this.checked();
    const { account } = this.wallet();
    const { request: asked, beneficiaries } = await readDisputable(chain, deployment, requestId);
    const expected = await this.bondWei();
    if (bondWei !== expected) throw new Rejected("bond", `${expected} wei`, `${bondWei} wei`);
    const to = { account, address: disputesOf(deployment), abi: DISPUTES } as const;
    const args = [asked, beneficiaries] as const;
    const { request } = await chain.simulateContract({ ...to, functionName: "open", args, value: bondWei });
    await this.mined(await this.wallet().writeContract(request), "opens a dispute");
    return this.ruling(requestId);
  }

  /** Draws the committee, from two blocks after the opening on. Anybody may; watchers leave it for a minute to who disputes. */
  async draw(requestId: Hex): Promise<Dispute> {
    const { chain, deployment } = await this.checked();
    const to = { account: this.wallet().account, address: disputesOf(deployment), abi: DISPUTES } as const;
    const { request } = await chain.simulateContract({ ...to, functionName: "draw", args: [requestId] });
    await this.mined(await this.wallet().writeContract(request), "draws a committee");
    return this.ruling(requestId);
  }

  /** How a dispute or an audit stands, and what it came to, by the chain alone. Throws Rejected where there is none. */
  async ruling(requestId: Hex): Promise<Dispute> {
    const { chain, deployment } = await this.checked();
    const found = await findDispute(chain, deployment, requestId);
    if (!found) throw new Rejected("dispute", `one about ${requestId}`, "none");
    return found;
  }

  /** After a ruling: settles its bond, unless somebody has, and pays out what the account is owed of bonds; in wei, 0n for nothing. */
  async takeBond(requestId: Hex, to?: Address): Promise<bigint> {
    const { chain, deployment } = await this.checked();
    const { account } = this.wallet();
    const at = { account, address: disputesOf(deployment), abi: DISPUTES } as const;
    await this.settleBond(requestId);
    const owedWei = await chain.readContract({ ...at, functionName: "owedTo", args: [account.address] });
    if (!owedWei) return 0n;
    await this.mined(await this.wallet().writeContract({ ...at, functionName: "withdraw", args: [to ?? account.address] }), "withdraws");
    return owedWei;
  }

  private async settleBond(requestId: Hex): Promise<void> {
    const { chain, deployment } = this.options;
    const { account } = this.wallet();
    const at = { account, address: disputesOf(deployment), abi: DISPUTES } as const;
    let request;
    try {
      ({ request } = await chain.simulateContract({ ...at, functionName: "settleBond", args: [requestId] }));
    } catch (error) {
      if (isRevert(error)) return; // settled by somebody, or not decided yet
      throw error;
    }
    await this.mined(await this.wallet().writeContract(request), "settles a bond");
  }

  private async sendRequest(modelId: Hex, input: Hex, policy: Hex, terms: Terms): Promise<Hex> {
    const { chain, deployment } = this.options;
    const wallet = this.wallet();
    const { account } = wallet;
    const { callbackGas = 0, feeWei } = terms;
    const to = { account, address: deployment.coprocessor, abi: COPROCESSOR } as const;
    const deadline = (await this.now()) + BigInt(terms.patienceSeconds);
    if ((await this.asset()) === null) {
      const args = [modelId, input, policy, callbackGas, deadline, account.address] as const;
      const { request } = await chain.simulateContract({ ...to, functionName: "request", args, value: feeWei });
      return wallet.writeContract(request);
    }
    const args = [modelId, input, policy, feeWei, callbackGas, deadline, account.address] as const;
    const { request } = await chain.simulateContract({ ...to, functionName: "requestFromBalance", args });
    return wallet.writeContract(request);
  }

  /** Some tokens take a new allowance only after the old one was set to zero. */
  private async approve(token: Address, amountWei: bigint): Promise<void> {
    const wallet = this.wallet();
    const spender = this.options.deployment.coprocessor;
    const args = [wallet.account.address, spender] as const;
    const allowedWei = await this.options.chain.readContract({ address: token, abi: TOKEN, functionName: "allowance", args });
    if (allowedWei >= amountWei) return;
    for (const value of allowedWei === 0n ? [amountWei] : [0n, amountWei]) {
      await this.mined(await wallet.writeContract({ address: token, abi: TOKEN, functionName: "approve", args: [spender, value] }), "approves");
    }
  }

  private async mined(hash: Hex, does: string): Promise<Hex> {
    const receipt = await this.options.chain.waitForTransactionReceipt({ hash });
    if (receipt.status !== "success") throw new Rejected("transaction", `one that ${does}`, receipt.status);
    return hash;
  }

  private async now(): Promise<bigint> {
    const { timestamp } = await this.options.chain.getBlock();
    const own = BigInt(Math.floor(Date.now() / 1000));
    return timestamp > own ? timestamp : own;
  }

  /** Chain and deployment, once the one has shown that the other is true. Tried again after a failure. */
  private async checked(): Promise<Pick<Options, "chain" | "deployment">> {
    const { chain, deployment } = this.options;
    this.checking ??= checkDeployment(chain, deployment).catch((error: unknown) => {
      this.checking = null;
      throw error;
    });
    await this.checking;
    return { chain, deployment };
  }

  private api(): Api {
    if (!this.served) throw new Rejected("api", "the base URL of an Affidavit API", "none");
    return this.served;
  }

  private wallet(): WalletClient<Transport, Chain, Account> {
    if (!this.options.wallet) throw new Rejected("wallet", "an account to ask with", "none");
    return this.options.wallet;
  }
}

/** From 2^128 on, each used once: 127 random bits. */
function makeNonce(): bigint {
  return SIGNED_NONCE_START + (BigInt(bytesToHex(crypto.getRandomValues(new Uint8Array(16)))) >> 1n);
}
