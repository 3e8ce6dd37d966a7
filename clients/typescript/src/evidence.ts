/** What the audit log says about a request: each record proven to be in a tree whose head the log's own key signed. */

import type { Hex } from "viem";

import { areEqual, decodeUtf8, encodeUtf8 } from "../../../web/src/verify/bytes";
import { type Fields, canonicalJson, isFieldValue } from "../../../web/src/verify/canonical";
import { type Checkpoint, openCheckpoint } from "../../../web/src/verify/checkpoint";
import { type VerifierKey, parseVkey } from "../../../web/src/verify/note";
import { readProof, verifyProof } from "../../../web/src/verify/proof";
import { parseRecord } from "../../../web/src/verify/record";
import { Rejected } from "../../../web/src/verify/rejected";
import { tell } from "./tell";

/** An entry whose inclusion was verified. `proof` is the C2SP tlog-proof, which verifies again offline. */
export interface ProvenEntry {
  index: bigint;
  kind: string;
  record: Fields;
  proof: string;
}

/** Everything an API showed of a request's entries. That it showed all of them is not proven: an audit says that. */
export interface LoggedEvidence {
  requestId: Hex;
  checkpoint: Checkpoint;
  entries: ProvenEntry[];
}

/** The entries in an API's answer, each verified under the log's key. Throws Rejected. */
export function verifyLogged(requestId: Hex, answer: Record<string, unknown>, vkey: string): LoggedEvidence {
  const key = parseVkey(vkey);
  if (answer["request_id"] !== requestId)
    throw new Rejected("log proof of the API", `one about ${requestId}`, tell(answer["request_id"]));
  const { checkpoint: note, entries: told } = answer;
  if (typeof note !== "string" || !Array.isArray(told)) throw new Rejected("log proof of the API", "a checkpoint and entries", typeof note);
  const checkpoint = openCheckpoint(encodeUtf8(note), key);
  const entries = told.map((entry: unknown) => verifyEntry(requestId, entry, key, checkpoint));
  entries.forEach((entry, at) => {
    const before = entries[at - 1];
    if (before && before.index >= entry.index) throw new Rejected("entries of the API", "each once, oldest first", entry.index);
  });
  return { requestId, checkpoint, entries };
}

function verifyEntry(requestId: Hex, told: unknown, key: VerifierKey, checkpoint: Checkpoint): ProvenEntry {
  const fields = (typeof told === "object" && told !== null ? told : {}) as Record<string, unknown>;
  const text = fields["tlog_proof"];
  if (typeof text !== "string") throw new Rejected("entry of the API", "a tlog-proof", typeof text);
  const proof = readProof(encodeUtf8(text));
  const tree = verifyProof(proof, key);
  if (tree.size !== checkpoint.size || !areEqual(tree.root, checkpoint.root))
    throw new Rejected(`proof of entry ${proof.index}`, `one in the tree of ${checkpoint.size}`, `one in a tree of ${tree.size}`);
  if (!proof.extra) throw new Rejected(`proof of entry ${proof.index}`, "its record beside it", "none");
  const record = parseRecord(proof.extra);
  if (record["audit.request_id"] !== requestId) throw new Rejected(`entry ${proof.index}`, `one about ${requestId}`, "one about something else");
  const kind = String(record["audit.kind"]);
  if (fields["index"] !== Number(proof.index) || fields["kind"] !== kind || textOf(fields["record"]) !== decodeUtf8(proof.extra, "record"))
    throw new Rejected(`entry ${proof.index} of the API`, "index, kind and record that are proven", "others");
  return { index: proof.index, kind, record, proof: text };
}

/** The text of what is shown as a record; of nothing that no record can hold. */
function textOf(shown: unknown): string {
  const isRecord = typeof shown === "object" && shown !== null && Object.values(shown).every(isFieldValue);
  return isRecord ? canonicalJson(shown as Fields) : "";
}
