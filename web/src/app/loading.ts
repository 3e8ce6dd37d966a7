/** Something asked of the server, as it stands: loading, there, or refused with a problem. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { Problem } from "./client";

export type Loading<T> = { state: "loading"; value: T | null } | { state: "ready"; value: T } | { state: "failed"; problem: Problem };

export interface Loaded<T> {
  loading: Loading<T>;
  reload(): void;
}

/** Asks again whenever `key` changes or `reload` is called; an answer that comes too late is dropped. The old value stays while a new one loads. */
export function useLoading<T>(key: string, ask: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [loading, setLoading] = useState<Loading<T>>({ state: "loading", value: null });
  const [round, setRound] = useState(0);
  const latest = useRef(ask);
  latest.current = ask;
  useEffect(() => {
    const controller = new AbortController();
    setLoading((old) => ({ state: "loading", value: old.state === "failed" ? null : old.value }));
    latest
      .current(controller.signal)
      .then((value) => {
        if (!controller.signal.aborted) setLoading({ state: "ready", value });
      })
      .catch((error: unknown) => {
        if (controller.signal.aborted) return;
        setLoading({ state: "failed", problem: asProblem(error) });
      });
    return () => controller.abort();
  }, [key, round]);
  return { loading, reload: useCallback(() => setRound((old) => old + 1), []) };
}

export function asProblem(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem(0, "Error", error instanceof Error ? error.message : String(error));
}

export interface Action {
  isRunning: boolean;
  problem: Problem | null;
  run(act: () => Promise<unknown>): Promise<boolean>;
}

/** A change asked for by a button or a form: one at a time, its problem kept until the next. */
export function useAction(): Action {
  const [isRunning, setRunning] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const run = async (act: () => Promise<unknown>): Promise<boolean> => {
    setRunning(true);
    setProblem(null);
    try {
      await act();
      return true;
    } catch (error) {
      setProblem(asProblem(error));
      return false;
    } finally {
      setRunning(false);
    }
  };
  return { isRunning, problem, run };
}
