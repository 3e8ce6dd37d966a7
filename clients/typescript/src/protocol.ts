/** The nouns and their bytes: what `oracle/encoding.py` and `contracts/src/libraries` compute, held equal by `tests/vectors`. */

import { type Address, type Hex, concat, encodeAbiParameters, hashTypedData, keccak256, stringToBytes } from "viem";

import { Rejected } from "../../../web/src/verify/rejected";

/** One deployment: what `affidavit deploy` wrote, from a source that is not the API. Other fields are ignored. */
export interface Deployment {
  chain_id: number | bigint;
  block_number: number;
  coprocessor: Address;
  operator_registry: Address;
  verifier_router: Address;
  /** Absent where the deployment was made before there was one. */
  fee_quotes?: Address;
  /** The same. */
  disputes?: Address | null;
}

/** What is asked. Its EIP-712 digest is the request id. */
export interface Request {
  requester: Address;
  refundTo: Address;
  modelId: Hex;
  inputDigest: Hex;
  policy: Hex;
  feeWei: bigint;
  callbackGas: number;
  /** Seconds since 1970. */
  deadline: bigint;
  /** Below 2^128: given by the contract. From there on: chosen by who signs. */
  nonce: bigint;
}

export interface Claim {
  requestId: Hex;
  modelId: Hex;
  inputDigest: Hex;
  outputDigest: Hex;
}

/** The evidence a consumer demands: a quorum or a proof, and what else. */
export interface Policy {
  /** 0 to 255 operators. */
  quorum?: number;
  proof?: boolean;
  enclave?: boolean;
  /** A simulated enclave is good enough; only together with `enclave`. */
  simulated?: boolean;
  windowSeconds?: number;
  /** Within the window a committee of operators can be asked who is right; only together with `windowSeconds`. */
  disputable?: boolean;
}

export interface Evidence {
  selector: Hex;
  data: Hex;
}

export const SIGNED_NONCE_START = 1n << 128n;
export const QUORUM_ECDSA = keccak256(stringToBytes("affidavit.verifier.quorum-ecdsa.v1")).slice(0, 10) as Hex;

const FLAG_PROOF = 1;
const FLAG_ENCLAVE = 2;
const FLAG_SIMULATED = 4;
const FLAG_DISPUTABLE = 8;
const FLAGS = FLAG_PROOF | FLAG_ENCLAVE | FLAG_SIMULATED | FLAG_DISPUTABLE;
const MAX_WINDOW = 2 ** 32;

export const REQUEST_TYPES = {
  InferenceRequest: [
    { name: "requester", type: "address" },
    { name: "refundTo", type: "address" },
    { name: "modelId", type: "bytes32" },
    { name: "inputDigest", type: "bytes32" },
    { name: "policy", type: "bytes32" },
    { name: "feeWei", type: "uint256" },
    { name: "callbackGas", type: "uint32" },
    { name: "deadline", type: "uint64" },
    { name: "nonce", type: "uint256" },
  ],
} as const;

const CLAIM_TYPES = {
  InferenceClaim: [
    { name: "requestId", type: "bytes32" },
    { name: "modelId", type: "bytes32" },
    { name: "inputDigest", type: "bytes32" },
    { name: "outputDigest", type: "bytes32" },
  ],
} as const;

export type Domain = Pick<Deployment, "chain_id" | "coprocessor">;

export function typedDomain(domain: Domain) {
  return { name: "Affidavit", version: "1", chainId: BigInt(domain.chain_id), verifyingContract: domain.coprocessor } as const;
}

/** The request id, which is also what the signer of an off-chain request signs. */
export function computeRequestId(request: Request, domain: Domain): Hex {
  return hashTypedData({ domain: typedDomain(domain), types: REQUEST_TYPES, primaryType: "InferenceRequest", message: request });
}

/** What an operator signs. */
export function computeClaimDigest(claim: Claim, domain: Domain): Hex {
  return hashTypedData({ domain: typedDomain(domain), types: CLAIM_TYPES, primaryType: "InferenceClaim", message: claim });
}

/** 32 bytes: version 1 ‖ quorum ‖ flags ‖ window ‖ zeros. Throws Rejected. */
export function packPolicy(policy: Policy): Hex {
  const { quorum = 0, proof = false, enclave = false, simulated = false, windowSeconds = 0, disputable = false } = policy;
  if (!Number.isInteger(quorum) || quorum < 0 || quorum > 255) throw new Rejected("policy quorum", "0 to 255", quorum);
  if (!Number.isInteger(windowSeconds) || windowSeconds < 0 || windowSeconds >= MAX_WINDOW)
    throw new Rejected("policy window", "0 to 2^32 - 1 seconds", windowSeconds);
  if (!quorum && !proof) throw new Rejected("policy", "a demand for a quorum or a proof", enclave ? "an enclave alone" : "none");
  requireEnclave(enclave, simulated);
  requireWindow(disputable, windowSeconds);
  const flags =
    (proof ? FLAG_PROOF : 0) | (enclave ? FLAG_ENCLAVE : 0) | (simulated ? FLAG_SIMULATED : 0) | (disputable ? FLAG_DISPUTABLE : 0);
  const head = [1, quorum, flags].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `0x${head}${windowSeconds.toString(16).padStart(8, "0")}${"00".repeat(25)}`;
}

/** The policy of a word; exactly one encoding is accepted. Throws Rejected. */
export function unpackPolicy(word: Hex): Required<Policy> {
  const digits = word.slice(2).toLowerCase();
  const flags = parseInt(digits.slice(4, 6), 16);
  if (!/^01[0-9a-f]{12}0{50}$/.test(digits) || flags & ~FLAGS)
    throw new Rejected("policy word", "version 1 with known flags and zero padding", word.slice(0, 80));
  const policy = {
    quorum: parseInt(digits.slice(2, 4), 16),
    proof: (flags & FLAG_PROOF) !== 0,
    enclave: (flags & FLAG_ENCLAVE) !== 0,
    simulated: (flags & FLAG_SIMULATED) !== 0,
    windowSeconds: parseInt(digits.slice(6, 14), 16),
    disputable: (flags & FLAG_DISPUTABLE) !== 0,
  };
  if (!policy.quorum && !policy.proof)
    throw new Rejected("policy", "a demand for a quorum or a proof", policy.enclave ? "an enclave alone" : "none");
  requireEnclave(policy.enclave, policy.simulated);
  requireWindow(policy.disputable, policy.windowSeconds);
  return policy;
}

function requireEnclave(enclave: boolean, simulated: boolean): void {
  if (simulated && !enclave) throw new Rejected("policy", "a simulated enclave only where an enclave is demanded", "one without the other");
}

function requireWindow(disputable: boolean, windowSeconds: number): void {
  if (disputable && !windowSeconds) throw new Rejected("policy", "disputes only where there is a window for them", "one without the other");
}

const MODEL_TYPEHASH = keccak256(stringToBytes("Model(uint8 kind,bytes32 manifest,bytes32 circuit,bytes32[] parameters)"));

/** The model id of its parts: for opaque models `circuitDigest` is zero and `parameters` are none. */
export function computeModelId(kind: number, manifestDigest: Hex, circuitDigest: Hex, parameters: readonly Hex[]): Hex {
  const types = [{ type: "bytes32" }, { type: "uint8" }, { type: "bytes32" }, { type: "bytes32" }, { type: "bytes32" }] as const;
  return keccak256(
    encodeAbiParameters(types, [MODEL_TYPEHASH, kind, manifestDigest, circuitDigest, keccak256(concat([...parameters]))]),
  );
}
