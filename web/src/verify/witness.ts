/**
 * Witnesses: others who saw a checkpoint and signed that it extends what they saw before.
 *
 * A cosignature (c2sp.org/tlog-cosignature, type 0x04) is 8 bytes of time, big-endian, and an Ed25519 signature over
 * "cosignature/v1\ntime <seconds>\n" and the checkpoint's text. Who must have signed stands in a policy (c2sp.org/tlog-policy):
 *
 *     witness <name> <vkey> [url]        group <name> any|all|<n> <members…>        quorum <name>|none
 */

import { concat, encodeUtf8, toHex } from "./bytes";
import { COSIGNATURE, type Note, type VerifierKey, isEd25519, isSignatureOf, parseVkey } from "./note";
import { Rejected } from "./rejected";

const NONE = "none";
const MAX_TIME = (1n << 63n) - 1n;
const MAX_AHEAD_SECONDS = 300;

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

const MAX_LINES_OF_A_KIND = 256;

/** The twin of `oracle/audit/policy.py`. Throws Rejected, naming the line. */
export function parsePolicy(text: string): Policy {
  const reader = new Reader();
  const lines = text.split("\n");
  if (/[\u0000-\u0008\u000b-\u001f\u007f]/.test(text)) throw new Rejected("policy", "no control characters but tab and newline", "one");
  if (lines.pop() !== "") throw new Rejected("policy", "lines that end in a newline", "a cut last line");
  lines.forEach((line, at) => {
    const [keyword, ...words] = line.split(/[ \t]+/).filter(Boolean);
    if (keyword !== undefined && !keyword.startsWith("#")) reader.read(`policy line ${at + 1}`, keyword, words);
  });
  return reader.finish();
}

/** What was defined on the lines so far. */
class Reader {
  private readonly witnesses = new Map<string, VerifierKey>();
  private readonly groups = new Map<string, Group>();
  private readonly grouped = new Set<string>();
  private readonly counts = new Map<string, number>();
  private readonly logs = new Set<string>();
  private quorum: string | null | undefined;

  read(what: string, keyword: string, words: string[]): void {
    const count = (this.counts.get(keyword) ?? 0) + 1;
    this.counts.set(keyword, count);
    if (count > MAX_LINES_OF_A_KIND) throw new Rejected(what, `at most ${MAX_LINES_OF_A_KIND} lines of a kind`, "more");
    if (keyword === "log") this.readLog(what, words);
    else if (keyword === "witness") this.readWitness(what, words);
    else if (keyword === "group") this.readGroup(what, words);
    else if (keyword === "quorum") this.readQuorum(what, words);
    else throw new Rejected(what, "log, witness, group or quorum", keyword.slice(0, 40));
  }

  finish(): Policy {
    if (this.quorum === undefined) throw new Rejected("policy", "a line `quorum`", "none");
    return { witnesses: this.witnesses, groups: this.groups, quorum: this.quorum };
  }

  /** Read for its form alone: the log's key is that of the trust anchors. */
  private readLog(what: string, words: string[]): void {
    requireCount(what, words, 1, 2);
    this.requireNewKey(what, parseVkey(words[0] ?? ""), this.logs);
  }

  private readWitness(what: string, words: string[]): void {
    requireCount(what, words, 2, 3);
    const key = parseVkey(words[1] ?? "", COSIGNATURE);
    this.requireNewKey(what, key, new Set([...this.witnesses.values()].map((known) => toHex(known.publicKey))));
    this.witnesses.set(this.requireNewName(what, words[0] ?? ""), key);
  }

  private readGroup(what: string, words: string[]): void {
    requireCount(what, words, 3, MAX_LINES_OF_A_KIND);
    const [name = "", kind = "", ...members] = words;
    for (const member of members) {
      this.requireKnown(what, member);
      if (this.grouped.has(member)) throw new Rejected(what, "a name that is in no group yet", member);
      this.grouped.add(member);
    }
    const threshold = kind === "any" ? 1 : kind === "all" ? members.length : /^[1-9][0-9]{0,3}$/.test(kind) ? Number(kind) : 0;
    if (threshold < 1 || threshold > members.length) throw new Rejected(what, "any, all or a number of its members", kind);
    this.groups.set(this.requireNewName(what, name), { threshold, members });
  }

  private readQuorum(what: string, words: string[]): void {
    requireCount(what, words, 1, 1);
    const [name = ""] = words;
    if (this.quorum !== undefined) throw new Rejected(what, "one quorum", "two");
    if (name !== NONE) this.requireKnown(what, name);
    this.quorum = name === NONE ? null : name;
  }

  private requireNewName(what: string, name: string): string {
    if (name === NONE || this.isKnown(name)) throw new Rejected(what, "a name that is not taken", name.slice(0, 40));
    return name;
  }

  private requireNewKey(what: string, key: VerifierKey, known: Set<string>): void {
    const text = toHex(key.publicKey);
    if (known.has(text)) throw new Rejected(what, "a key that is not there yet", text);
    known.add(text);
  }

  private requireKnown(what: string, name: string): void {
    if (!this.isKnown(name)) throw new Rejected(what, "a witness or group of a line above", name.slice(0, 40));
  }

  private isKnown(name: string): boolean {
    return this.witnesses.has(name) || this.groups.has(name);
  }
}

function requireCount(what: string, words: string[], least: number, most: number): void {
  if (words.length < least || words.length > most) throw new Rejected(what, `${least} to ${most} words`, words.length);
}

/**
 * Which witnesses of the policy signed this checkpoint. Throws Rejected for a false cosignature under a known key, and for a time further
 * ahead of `now` (seconds since 1970) than clocks differ.
 */
export function readWitnesses(note: Note, policy: Policy, now: number = Date.now() / 1000): Witnessed {
  const signed: Witnessed["signed"] = [];
  for (const [name, key] of policy.witnesses) {
    for (const signature of note.signatures) {
      if (!isSignatureOf(signature, key)) continue;
      const time = readCosignature(note.text, signature.data, key, now);
      if (!signed.some((one) => one.name === name)) signed.push({ name, time });
    }
  }
  const names = new Set(signed.map((one) => one.name));
  const missing = [...policy.witnesses.keys()].filter((name) => !names.has(name));
  return { isMet: policy.quorum === null || isMet(policy, policy.quorum, names), signed, missing };
}

function readCosignature(text: string, data: Uint8Array, key: VerifierKey, now: number): Date {
  if (data.length !== 72) throw new Rejected(`cosignature of ${key.name}`, "72 bytes", data.length);
  const seconds = new DataView(data.buffer, data.byteOffset, 8).getBigUint64(0);
  if (seconds < 1n || seconds > MAX_TIME) throw new Rejected(`cosignature of ${key.name}`, "a time in 1 … 2^63 − 1", seconds);
  const message = concat(encodeUtf8(`cosignature/v1\ntime ${seconds}\n`), encodeUtf8(text));
  if (!isEd25519(data.slice(8), message, key.publicKey))
    throw new Rejected(`cosignature of ${key.name}`, "a signature of this checkpoint", "a false one");
  if (Number(seconds) > now + MAX_AHEAD_SECONDS)
    throw new Rejected(`cosignature of ${key.name}`, `a time at most ${MAX_AHEAD_SECONDS} s ahead of ${Math.floor(now)}`, seconds);
  return new Date(Number(seconds) * 1000);
}

function isMet(policy: Policy, name: string, signed: Set<string>): boolean {
  const group = policy.groups.get(name);
  if (!group) return signed.has(name);
  return group.members.filter((member) => isMet(policy, member, signed)).length >= group.threshold;
}
