/** How long something stays open, counted down. */

import { useEffect, useState } from "preact/hooks";

import { duration } from "../app/words";

export function useSecondsLeft(until: string | null): number | null {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (!until) return undefined;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [until]);
  return until ? (Date.parse(until) - now) / 1000 : null;
}

export function TimeLeft({ until }: { until: string | null }) {
  const left = useSecondsLeft(until);
  if (left === null) return null;
  return <span class="time-left">{left > 0 ? `${duration(left)} left` : "time is over"}</span>;
}
