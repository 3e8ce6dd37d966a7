/** The part of the contracts' ABI that the client speaks. A test holds every selector and topic to the compiled contracts. */

import { parseAbi } from "viem";

const STRUCTS = [
  "struct Request { address requester; address refundTo; bytes32 modelId; bytes32 inputDigest; bytes32 policy; uint256 feeWei; uint32 callbackGas; uint64 deadline; uint256 nonce; }",
  "struct Evidence { bytes4 selector; bytes data; }",
  "struct Delivery { Request request; bytes signature; bytes input; bytes output; Evidence[] evidence; }",
  "struct Claim { bytes32 requestId; bytes32 modelId; bytes32 inputDigest; bytes32 outputDigest; }",
] as const;

export const COPROCESSOR = parseAbi([
  ...STRUCTS,
  "function request(bytes32 modelId, bytes input, bytes32 policy, uint32 callbackGas, uint64 deadline, address refundTo) payable returns (bytes32 requestId)",
  "function deliver(Request request_, bytes input, bytes output, Evidence[] evidence) returns (uint8)",
  "function deliverSigned(Request request_, bytes signature, bytes input, bytes output, Evidence[] evidence) returns (uint8)",
  "function deliverBatch(Delivery[] deliveries) returns (uint8[] codes)",
  "function statusOf(bytes32 requestId) view returns (uint8 status, uint8 callback, bytes32 outputDigest, uint64 availableAt)",
  "function balanceOf(address account) view returns (uint256 amountWei)",
  "function deposit() payable",
  "function depositToken(uint256 amountWei)",
  "function requestFromBalance(bytes32 modelId, bytes input, bytes32 policy, uint256 feeWei, uint32 callbackGas, uint64 deadline, address refundTo) returns (bytes32 requestId)",
  "function ASSET() view returns (address)",
  "function DOMAIN_SEPARATOR() view returns (bytes32)",
  "function ROUTER() view returns (address)",
  "function DISPUTES() view returns (address)",
  "function withdraw(uint256 amountWei, address to)",
  "event InferenceRequested(bytes32 indexed requestId, bytes32 indexed modelId, address indexed requester, Request request, bytes input)",
  "event InferenceDelivered(bytes32 indexed requestId, bytes32 indexed modelId, address indexed requester, bytes32 outputDigest, bytes output, address[] beneficiaries, uint64 availableAt)",
  "event InferenceReplaced(bytes32 indexed requestId, bytes32 replacedOutputDigest, bytes32 outputDigest, bytes output, address[] beneficiaries)",
  "event BatchItem(bytes32 indexed requestId, uint8 code, bytes4 reason)",
]);

/** The token of a deployment that settles in one. */
export const TOKEN = parseAbi([
  "function balanceOf(address account) view returns (uint256)",
  "function allowance(address owner, address spender) view returns (uint256)",
  "function approve(address spender, uint256 value) returns (bool)",
]);

export const FEE_QUOTES = parseAbi([
  "function OPERATORS() view returns (address)",
  "function quote(bytes32 modelId, bytes32 policy) view returns (uint256 feeWei, uint256 shareWei, uint256 shares)",
]);

/** Of deployments that have committees. */
export const DISPUTES = parseAbi([
  ...STRUCTS,
  "struct Ruling { uint8 outcome; bytes32 outputDigest; address challenger; address[] majority; uint64 closedAt; }",
  "struct Info { uint8 phase; bool isAudit; address challenger; bytes32 disputedDigest; uint64 seedBlock; uint64 drawEndsAt; uint64 commitEndsAt; uint64 revealEndsAt; address[] members; }",
  "function open(Request request, address[] beneficiaries) payable",
  "function draw(bytes32 requestId)",
  "function settleBond(bytes32 requestId)",
  "function withdraw(address to)",
  "function rulingOf(bytes32 requestId) view returns (Ruling)",
  "function infoOf(bytes32 requestId) view returns (Info)",
  "function owedTo(address account) view returns (uint256 amountWei)",
  "function BOND_WEI() view returns (uint128)",
]);

export const OPERATOR_REGISTRY = parseAbi([
  "function activeSigners(uint256 bitmap) view returns (address[] operators, address[] signers)",
]);

export const VERIFIER_ROUTER = parseAbi([
  "function resolve(uint8 kind, bytes4 selector) view returns (address)",
  "function routeOf(bytes4 selector) view returns (address verifier, uint8 kind, uint8 state)",
]);

/** The verifier of ECDSA signatures: whose seats count. */
export const QUORUM_VERIFIER = parseAbi(["function OPERATORS() view returns (address)"]);

/** interfaces/IVerifier.sol: the same for every kind of evidence. */
export const VERIFIER = parseAbi([
  ...STRUCTS,
  "function verify(Claim claim, bytes32 claimDigest, bytes32 policy, bytes input, bytes output, bytes data) view returns (address[] beneficiaries)",
]);
