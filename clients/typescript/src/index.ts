/** @affidavit/client: ask, follow, and believe nothing but your own endpoint and keys (docs/clients.md). */

export { Rejected, Unreachable } from "../../../web/src/verify/rejected";
export { Api, ApiRefused, type Progress, type Step, parseEvents } from "./api";
export { AffidavitClient, type Asked, type Options, type Terms } from "./client";
export { checkDeployment } from "./deployment";
export { type Dispute } from "./disputes";
export { type LoggedEvidence, type ProvenEntry, verifyLogged } from "./evidence";
export { type Model, canonicalJson, checkModel, decodeReals, encodeReals, packInt16, unpackInt16 } from "./model";
export {
  type Claim,
  type Deployment,
  type Evidence,
  type Policy,
  type Request,
  computeClaimDigest,
  computeModelId,
  computeRequestId,
  packPolicy,
  unpackPolicy,
} from "./protocol";
export { type Signer, type Verified, type Wanted, compareReceipt, recoverSigner, splitQuorum, verifyOnChain } from "./verify";
