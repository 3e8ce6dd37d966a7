/** What went through the log in a period, in charts and shares; each share leads to its records. */

import type { Overview } from "../app/api";
import { href } from "../app/router";
import { EVIDENCE_WORDS, OUTCOME_WORDS, VERDICT_WORDS, count, milliseconds, plural, when } from "../app/words";
import { Lines, Shares, StackedBars } from "../parts/Charts";
import { Section } from "../parts/Page";
import type { Period } from "../parts/Period";
import { Empty } from "../parts/States";
import { Table } from "../parts/Table";

const VERDICT_CLASSES: Record<string, string> = {
  proven: "series-good",
  attested: "series-good",
  signed: "series-a",
  replaced: "series-warn",
  rejected: "series-bad",
  unverified: "series-plain",
};

export function Charts({ overview, period }: { overview: Overview; period: Period }) {
  if (!overview.volume.some((one) => one.calls + one.errors)) return <Empty>No calls in this period.</Empty>;
  const range = { from: period.from, to: period.to };
  const labels = timeLabels(overview.volume.map((one) => one.time));
  const busiest = overview.volume.reduce((most, one) => Math.max(most, one.calls), 0);
  return (
    <>
      <div class="columns">
        <StackedBars
          title="Calls"
          summary={`${plural(overview.volume.length, "interval")}, at most ${count(busiest)} calls in one.`}
          labels={labels}
          series={[
            { name: "Answered", className: "series-a", values: overview.volume.map((one) => Math.max(0, one.calls - one.errors)) },
            { name: "Errors", className: "series-bad", values: overview.volume.map((one) => one.errors) },
          ]}
        />
        <Lines
          title="Latency"
          summary={`Median ${milliseconds(overview.latency.p50_ms)}, 95th percentile ${milliseconds(overview.latency.p95_ms)} over the period.`}
          labels={timeLabels(overview.latency.series.map((one) => one.time))}
          format={milliseconds}
          series={[
            { name: "95th percentile", className: "series-b", values: overview.latency.series.map((one) => one.p95_ms) },
            { name: "Median", className: "series-a", values: overview.latency.series.map((one) => one.p50_ms) },
          ]}
        />
      </div>
      <div class="columns three">
        <Shares
          title="Verdicts"
          parts={Object.entries(overview.verdicts).map(([word, value]) => ({
            name: VERDICT_WORDS[word] ?? word,
            value,
            className: VERDICT_CLASSES[word] ?? "series-plain",
            href: href("/records", { verdict: word, ...range }),
          }))}
        />
        <Shares
          title="Evidence"
          parts={Object.entries(overview.evidence).map(([word, value]) => ({
            name: EVIDENCE_WORDS[word] ?? word,
            value,
            className: word === "quorum" ? "series-a" : word === "proof" ? "series-good" : "series-plain",
            href: href("/records", { evidence: word, ...range }),
          }))}
        />
        <Shares
          title="Outcomes"
          parts={Object.entries(overview.outcomes).map(([word, value]) => ({
            name: OUTCOME_WORDS[word] ?? word,
            value,
            className: word === "ok" ? "series-a" : word === "error" ? "series-bad" : "series-warn",
            href: href("/records", { outcome: word, ...range }),
          }))}
        />
      </div>
      <Models overview={overview} range={range} />
    </>
  );
}

function Models({ overview, range }: { overview: Overview; range: { from: string; to: string } }) {
  if (!overview.models.length) return null;
  return (
    <Section title="Models">
      <Table
        caption="Calls by model"
        rows={overview.models}
        rowKey={(row) => row.model}
        columns={[
          {
            name: "Model",
            isMain: true,
            cell: (row) => <ModelName value={row.model} link={href("/records", { model: row.model, ...range })} />,
          },
          { name: "Calls", isNumber: true, cell: (row) => count(row.calls) },
        ]}
      />
    </Section>
  );
}

function ModelName({ value, link }: { value: string; link: string }) {
  const isDigest = /^0x[0-9a-f]{64}$/.test(value);
  return <a href={link}>{isDigest ? <code>{`${value.slice(0, 8)}…${value.slice(-6)}`}</code> : value}</a>;
}

/** Times short enough for an axis: the day, the time of day, or both. */
function timeLabels(times: string[]): string[] {
  const shown = times.map(when);
  if (shown.every((time) => time.endsWith("00:00:00"))) return shown.map((time) => time.slice(5, 10));
  const days = new Set(shown.map((time) => time.slice(0, 10)));
  return shown.map((time) => (days.size <= 1 ? time.slice(11, 16) : `${time.slice(5, 10)} ${time.slice(11, 13)}h`));
}
