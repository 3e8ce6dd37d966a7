/** Values in words: times, durations, counts, kinds. Times are shown in UTC, as they are logged. */

const COUNT = new Intl.NumberFormat("en-GB");

export function count(value: number): string {
  return COUNT.format(value);
}

/** "1 record", "2 records". */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** "2026-11-22 10:00:04" of an RFC 3339 time in UTC. */
export function when(time: string | null | undefined): string {
  if (!time) return "—";
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? time : date.toISOString().slice(0, 19).replace("T", " ");
}

export function day(time: string): string {
  return when(time).slice(0, 10);
}

export function milliseconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return "—";
  if (value === 0) return "0";
  if (value >= 10_000) return `${(value / 1000).toFixed(0)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return value >= 10 ? `${value.toFixed(0)} ms` : `${value.toFixed(1)} ms`;
}

export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

/** Whole ether of a wei amount, with up to four decimals, rounded down. */
export function etherDown(wei: string): string {
  const digits = wei.padStart(19, "0");
  const decimals = digits.slice(-18, -14).replace(/0+$/, "");
  return `${COUNT.format(BigInt(digits.slice(0, -18)))}${decimals ? `.${decimals}` : ""} ETH`;
}

export const KIND_WORDS: Record<string, string> = {
  intent: "Intent",
  result: "Result",
  error: "Error",
  receipt: "Receipt",
  anchor: "Anchor",
  clock: "Clock",
  config: "Configuration",
  key_rotation: "Key rotation",
  override: "Override",
  review: "Review",
  disclosure: "Disclosure",
  hold: "Legal hold",
  erasure: "Erasure",
};

export const VERDICT_WORDS: Record<string, string> = {
  unverified: "Unverified",
  signed: "Signed",
  proven: "Proven",
  attested: "Attested",
  replaced: "Replaced",
  rejected: "Rejected",
};

export const OUTCOME_WORDS: Record<string, string> = { ok: "Answered", error: "Failed", refused: "Refused", cancelled: "Cancelled" };

export const EVIDENCE_WORDS: Record<string, string> = { quorum: "Quorum of signatures", proof: "Proof", none: "None" };

/** A scope of holds and erasures in words. */
export function scopeWords(scope: Record<string, unknown>): string {
  const { from, to, index, indices, call_id: callId, subject, ...rest } = scope;
  const parts: string[] = [];
  if (index !== undefined) parts.push(`record ${String(index)}`);
  if (from !== undefined || to !== undefined) parts.push(rangeWords(from, to));
  if (Array.isArray(indices))
    parts.push(`${plural(indices.length, "record")} (${indices.slice(0, 8).join(", ")}${indices.length > 8 ? " …" : ""})`);
  if (callId !== undefined) parts.push(`the call ${String(callId)}`);
  if (subject !== undefined) parts.push(`everything about the person ${String(subject)}`);
  for (const [name, value] of Object.entries(rest)) parts.push(`${name.replaceAll("_", " ")} ${String(value)}`);
  return parts.join(", ") || "everything";
}

function rangeWords(from: unknown, to: unknown): string {
  if (from === undefined) return `records up to ${String(to)}`;
  return to === undefined ? `records from ${String(from)} on` : `records ${String(from)} to ${String(to)}`;
}
