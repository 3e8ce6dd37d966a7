/**
 * Witnesses: others who saw a checkpoint and signed that it extends what they saw before.
 *
 * A cosignature (c2sp.org/tlog-cosignature, type 0x04) is 8 bytes of time, big-endian, and an Ed25519 signature over
 * "cosignature/v1\ntime <seconds>\n" and the checkpoint's text. Who must have signed stands in a policy (c2sp.org/tlog-policy):
 *
 *     witness <name> <vkey> [url]        group <name> any|all|<n> <members…>        quorum <name>|none
 */

import { concat, encodeUtf8 } from "./bytes";
import { COSIGNATURE, type Note, type VerifierKey, isEd25519, isSignatureOf, parseVkey } from "./note";
import { Rejected } from "./rejected";

interface Group {
  threshold: number;
  members: string[];
}

export interface Policy {
  witnesses: Map<string, VerifierKey>;
  groups: Map<string, Group>;
  /** Null: no witness is asked for. */
  quorum: string | null;
}

export interface Witnessed {
  isMet: boolean;
  /** Witnesses whose cosignature was verified, with the time they give. */
  signed: { name: string; time: Date }[];
  missing: string[];
}

/** Throws Rejected, naming the line. */
export function parsePolicy(text: string): Policy {
  const policy: Policy = { witnesses: new Map(), groups: new Map(), quorum: null };
  let hasQuorum = false;
  text.split("\n").forEach((line, at) => {
    const words = line.replace(/#.*$/, "").trim().split(/\s+/);
    const [keyword, name = "", ...rest] = words;
    const what = `policy line ${at + 1}`;
    if (!keyword || keyword === "log") return; // the log's key is that of the trust settings
    if (keyword === "quorum") {
      if (hasQuorum || (name !== "none" && !isKnown(policy, name))) throw new Rejected(what, "one quorum, of a known name", name);
      hasQuorum = true;
      policy.quorum = name === "none" ? null : name;
    } else if (isKnown(policy, name) || name === "none" || !name) throw new Rejected(what, "a new name", name);
    else if (keyword === "witness") policy.witnesses.set(name, parseVkey(rest[0] ?? "", COSIGNATURE));
    else if (keyword === "group") policy.groups.set(name, parseGroup(policy, what, rest));
    else throw new Rejected(what, "log, witness, group or quorum", keyword);
  });
  if (!hasQuorum) throw new Rejected("policy", "a quorum line", "none");
  return policy;
}

function isKnown(policy: Policy, name: string): boolean {
  return policy.witnesses.has(name) || policy.groups.has(name);
}

function parseGroup(policy: Policy, what: string, words: string[]): Group {
  const [kind = "", ...members] = words;
  const threshold = kind === "any" ? 1 : kind === "all" ? members.length : /^[1-9][0-9]*$/.test(kind) ? Number(kind) : 0;
  if (threshold < 1 || threshold > members.length) throw new Rejected(what, "any, all or a number of its members", kind);
  const stranger = members.find((member) => !isKnown(policy, member));
  if (stranger !== undefined) throw new Rejected(what, "members named above", stranger);
  return { threshold, members };
}

/** Which witnesses of the policy signed this checkpoint. Throws Rejected for a false cosignature under a known key. */
export function readWitnesses(note: Note, policy: Policy): Witnessed {
  const signed: Witnessed["signed"] = [];
  for (const [name, key] of policy.witnesses) {
    for (const signature of note.signatures) {
      if (!isSignatureOf(signature, key)) continue;
      const time = readCosignature(note.text, signature.data, key);
      if (!signed.some((one) => one.name === name)) signed.push({ name, time });
    }
  }
  const names = new Set(signed.map((one) => one.name));
  const missing = [...policy.witnesses.keys()].filter((name) => !names.has(name));
  return { isMet: policy.quorum === null || isMet(policy, policy.quorum, names), signed, missing };
}

function readCosignature(text: string, data: Uint8Array, key: VerifierKey): Date {
  if (data.length !== 72) throw new Rejected(`cosignature of ${key.name}`, "72 bytes", data.length);
  const seconds = new DataView(data.buffer, data.byteOffset, 8).getBigUint64(0);
  const message = concat(encodeUtf8(`cosignature/v1\ntime ${seconds}\n`), encodeUtf8(text));
  if (!isEd25519(data.slice(8), message, key.publicKey)) throw new Rejected(`cosignature of ${key.name}`, "a signature of this checkpoint", "a false one");
  return new Date(Number(seconds) * 1000);
}

function isMet(policy: Policy, name: string, signed: Set<string>): boolean {
  const group = policy.groups.get(name);
  if (!group) return signed.has(name);
  return group.members.filter((member) => isMet(policy, member, signed)).length >= group.threshold;
}
