/** Runs the browser's own verification and hands out its steps as they come. The verifier is loaded when it is first needed. */

import { useCallback, useEffect, useState } from "preact/hooks";

import { seamsOf, type Trust, useTrust } from "../app/trust";
import { useSession } from "../app/session";
import type { Shown, Step } from "../verify/steps";

export interface Verification {
  steps: Step[];
  isDone: boolean;
  /** What went wrong in the verifier itself, if anything. */
  fault: string | null;
  trust: Trust;
  again(): void;
}

/** `shown` null verifies the log's head alone. Runs again when `key` changes, or when another is trusted. */
export function useVerification(key: string, shown: Shown | null): Verification {
  const { settings } = useSession();
  const trust = useTrust(settings);
  const [round, setRound] = useState(0);
  const [state, setState] = useState<{ steps: Step[]; isDone: boolean; fault: string | null }>({ steps: [], isDone: false, fault: null });
  useEffect(() => {
    let isCurrent = true;
    const update = (change: (old: typeof state) => typeof state): void => {
      if (isCurrent) setState(change);
    };
    setState({ steps: [], isDone: false, fault: null });
    verify(shown, trust, settings, (step) => update((old) => ({ ...old, steps: [...old.steps, step] })))
      .then(() => update((old) => ({ ...old, isDone: true })))
      .catch((error: unknown) =>
        update((old) => ({ ...old, isDone: true, fault: error instanceof Error ? error.message : String(error) })),
      );
    return () => {
      isCurrent = false;
    };
  }, [key, round, JSON.stringify([trust.anchors, trust.rpcUrl])]);
  return { ...state, trust, again: useCallback(() => setRound((old) => old + 1), []) };
}

async function verify(
  shown: Shown | null,
  trust: Trust,
  settings: Parameters<typeof seamsOf>[0],
  onStep: (step: Step) => void,
): Promise<void> {
  const [{ verifyLogHead, verifyRecord }, seams] = await Promise.all([import("../verify/steps"), seamsOf(settings, trust)]);
  if (shown) await verifyRecord(shown, trust.anchors, seams, onStep);
  else await verifyLogHead(trust.anchors, seams, onStep);
}

/** One word for the steps, as `judge` of verify/steps gives it, without loading the verifier. */
export function summarise(verification: Verification): "running" | "passed" | "failed" | "unreachable" {
  if (verification.fault) return "unreachable";
  if (!verification.isDone) return verification.steps.some((step) => step.status === "failed") ? "failed" : "running";
  if (verification.steps.some((step) => step.status === "failed")) return "failed";
  return verification.steps.some((step) => step.status === "unreachable" || step.status === "skipped") ? "unreachable" : "passed";
}
