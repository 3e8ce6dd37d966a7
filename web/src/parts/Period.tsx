/** A period of time, kept in the address: one of the usual ones, or two days. */

import { href, navigate } from "../app/router";

export interface Period {
  name: string;
  from: string;
  to: string;
}

const USUAL: [string, string, number][] = [
  ["day", "Last 24 hours", 1],
  ["week", "Last 7 days", 7],
  ["month", "Last 30 days", 30],
  ["half", "Last 6 months", 183],
  ["ever", "Last 10 years", 3650],
];
const DAY = 86_400_000;

/** Whole minutes, so that the same question within a minute has the same address. */
function ago(days: number): string {
  return new Date(Math.floor((Date.now() - days * DAY) / 60_000) * 60_000).toISOString().replace(".000Z", "Z");
}

export function readPeriod(query: URLSearchParams): Period {
  const name = query.get("period") ?? "week";
  const days = USUAL.find(([key]) => key === name)?.[2] ?? 7;
  return { name, from: ago(days), to: "" };
}

export function PeriodPicker({ path, period }: { path: string; period: Period }) {
  return (
    <label class="inline-field">
      <span>Period</span>
      <select value={period.name} onChange={(event) => navigate(href(path, { period: event.currentTarget.value }))}>
        {USUAL.map(([key, words]) => (
          <option key={key} value={key}>
            {words}
          </option>
        ))}
      </select>
    </label>
  );
}
