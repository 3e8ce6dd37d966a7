/** What the office's routes answer. Nothing here is proven: what a browser verifies, it verifies from bytes (see verify/). */

import type { FieldValue, Fields } from "../verify/canonical";

export interface Settings {
  origin: string;
  vkey: string;
  chain_id: number;
  rpc_url: string;
  audit_anchor: string | null;
  log_id: string | null;
  anchor_key: string | null;
  log_base: string;
  witness_policy: string | null;
  has_oidc: boolean;
}

export interface Me {
  name: string;
  roles: string[];
  rights: string[];
  via: "token" | "oidc";
  csrf: string | null;
}

export interface Alarm {
  kind: string;
  severity: "warning" | "critical";
  since: string | null;
  text: string;
}

export interface Overview {
  log: { origin: string; size: number; root: string; time: string | null };
  anchors: {
    count: number;
    last: { size: number; block_number: number; transaction: string; time: string | null } | null;
    lag_entries: number;
    is_late: boolean;
  };
  witnesses: { quorum_met: boolean | null; text: string; names: string[] };
  volume: { time: string; calls: number; errors: number }[];
  verdicts: Record<string, number>;
  outcomes: Record<string, number>;
  /** "quorum", "proof", "none": those that occurred. */
  evidence: Record<string, number>;
  latency: { p50_ms: number | null; p95_ms: number | null; series: { time: string; p50_ms: number | null; p95_ms: number | null }[] };
  models: { model: string; calls: number }[];
  alarms: Alarm[];
}

export interface RecordRow {
  index: number;
  time: string;
  kind: string;
  writer: string;
  model: string | null;
  call_id: string | null;
  caller: string | null;
  outcome: string | null;
  verdict: string | null;
  transaction: string | null;
  latency_microseconds: number | null;
  content: string | null;
}

export interface RecordPage {
  items: RecordRow[];
  next: number | null;
  total: number | null;
}

export interface CallPlace {
  index: number;
  kind: string;
  time: string;
  writer: string;
}

export interface RecordView {
  index: number;
  leaf_hash: string;
  record: Fields;
  record_base64: string;
  proof: string;
  call: CallPlace[];
  content: { state: "none" | "present" | "erased"; bodies: string[]; sealed: boolean };
  retention: { class: string; until: string | null } | null;
  holds: Hold[];
  reviews: Review[];
  disclosures: Disclosure[];
}

export interface ServerStep {
  number: number;
  name: string;
  status: "passed" | "absent" | "failed";
  detail: string;
}

export interface ServerVerdict {
  holds: boolean;
  verdict: string;
  steps: ServerStep[];
  remarks: string[];
}

export interface Sample {
  id: string;
  seed: string;
  population: number;
  population_digest: string;
  size: number;
  indices: number[];
  filter: Record<string, string>;
  by: string;
  time: string;
  index: number | null;
}

export interface Review {
  index: number;
  outcome: "accepted" | "rejected" | "escalated";
  note: string | null;
  by: string;
  time: string;
  record: number | null;
}

export interface Disclosure {
  id: string;
  indices: number[];
  reason: string;
  minutes: number;
  state: "requested" | "approved" | "denied" | "closed" | "expired";
  by: string;
  decided_by: string | null;
  requested_at: string;
  decided_at: string | null;
  expires_at: string | null;
  may_decide: boolean;
  may_open: boolean;
}

export interface SealedField {
  name: string;
  value: FieldValue;
  salt?: string;
  index?: number;
  path?: string[];
}

export interface OpenContent {
  state: "none" | "present" | "erased";
  sealed: SealedField[];
  bodies: { name: string; text: string | null; hex: string }[];
}

export interface Hold {
  id: string;
  scope: Record<string, unknown>;
  reason: string;
  by: string;
  placed_at: string;
  state: "active" | "release_requested" | "released";
  release_requested_by: string | null;
  may_approve: boolean;
}

export interface Erasure {
  id: string;
  scope: Record<string, unknown>;
  reason: string;
  by: string;
  requested_at: string;
  state: "requested" | "approved" | "denied" | "held" | "done";
  /** What an approved erasure waits for. */
  problem: string | null;
  decided_by: string | null;
  decided_at: string | null;
  erased: number[];
  may_decide: boolean;
}

export interface Reading {
  index: number;
  time: string;
  reader: string;
  action: string;
  indices: number[];
  disclosure: string | null;
  reason: string | null;
}

export interface Operations {
  nodes: { url: string; is_ready: boolean; detail: string }[];
  relay: { states: Record<string, number>; oldest_seconds: number | null };
  operators: { index: number; address: string; signer: string; stake_wei: string; is_active: boolean }[];
  anchors: { size: number; root: string; block_number: number; transaction: string }[];
}

export interface Finding {
  kind: string;
  severity: "gap" | "doubt";
  count: number;
  text: string;
  examples: number[];
}

export interface Completeness {
  verdict: "complete" | "gaps" | "unknown";
  origin: string;
  size: number;
  root: string;
  time: string;
  limits: Record<string, number>;
  findings: Finding[];
  kinds: Record<string, number>;
  writers: { writer: string; last: number; clocks: number; ahead_microseconds: number; behind_microseconds: number }[];
  streams: { count: number; numbers: number; missing: number };
  intents: { count: number; open: number };
}

export interface Items<T> {
  items: T[];
  /** Pass on as `before` for the next page; null on the last. */
  next: number | null;
}
