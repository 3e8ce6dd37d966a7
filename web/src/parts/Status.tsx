/** A state as a word with a sign: colour is never the only carrier. */

import type { ComponentChildren } from "preact";

import { OUTCOME_WORDS, VERDICT_WORDS } from "../app/words";
import { Icon, type IconName } from "./Icon";

export type Tone = "good" | "warn" | "bad" | "plain";

const ICONS: Record<Tone, IconName> = { good: "check", warn: "warning", bad: "cross", plain: "dash" };

export function Status({ tone, icon, children }: { tone: Tone; icon?: IconName; children: ComponentChildren }) {
  return (
    <span class={`status status-${tone}`}>
      <Icon name={icon ?? ICONS[tone]} />
      <span>{children}</span>
    </span>
  );
}

const VERDICT_TONES: Record<string, Tone> = {
  proven: "good",
  signed: "good",
  attested: "good",
  replaced: "warn",
  rejected: "bad",
  unverified: "plain",
};

export function VerdictStatus({ verdict }: { verdict: string | null }) {
  if (!verdict) return <span class="muted">—</span>;
  return <Status tone={VERDICT_TONES[verdict] ?? "plain"}>{VERDICT_WORDS[verdict] ?? verdict}</Status>;
}

const OUTCOME_TONES: Record<string, Tone> = { ok: "good", error: "bad", refused: "warn", cancelled: "plain" };

export function OutcomeStatus({ outcome }: { outcome: string | null }) {
  if (!outcome) return <span class="muted">—</span>;
  return <Status tone={OUTCOME_TONES[outcome] ?? "plain"}>{OUTCOME_WORDS[outcome] ?? outcome}</Status>;
}
