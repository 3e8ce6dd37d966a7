/** How the log stands and what went through it in a period. */

import type { Alarm, Overview } from "../app/api";
import { get } from "../app/client";
import { useLoading } from "../app/loading";
import { type Period, PeriodPicker, readPeriod } from "../parts/Period";
import { href } from "../app/router";
import { EVIDENCE_WORDS, OUTCOME_WORDS, VERDICT_WORDS, count, milliseconds, plural, when } from "../app/words";
import { Lines, Shares, StackedBars } from "../parts/Charts";
import { Digest } from "../parts/Digest";
import { HeadVerification } from "../parts/HeadVerification";
import { Icon } from "../parts/Icon";
import { Page, Section } from "../parts/Page";
import { Empty, Loaded, Permitted } from "../parts/States";
import { Status } from "../parts/Status";
import { Table } from "../parts/Table";

export function OverviewPage({ query }: { query: URLSearchParams }) {
  return (
    <Permitted right="records">
      <Content period={readPeriod(query)} />
    </Permitted>
  );
}

function Content({ period }: { period: Period }) {
  const { loading, reload } = useLoading(`${period.from} ${period.to}`, (signal) => get<Overview>("/overview", { from: period.from, to: period.to }, signal));
  return (
    <Page title="Overview" actions={<PeriodPicker path="/" period={period} />}>
      <Loaded loading={loading} reload={reload}>
        {(overview) => (
          <>
            <Alarms alarms={overview.alarms} />
            <Figures overview={overview} period={period} />
            <div class="columns">
              <HeadVerification />
              <Chain overview={overview} />
            </div>
            <Charts overview={overview} period={period} />
          </>
        )}
      </Loaded>
    </Page>
  );
}

function Alarms({ alarms }: { alarms: Alarm[] }) {
  if (!alarms.length) {
    return (
      <p class="all-clear">
        <Status tone="good">No alarms</Status>
      </p>
    );
  }
  return (
    <ul class="alarms" aria-label="Alarms">
      {alarms.map((alarm) => (
        <li key={`${alarm.kind} ${alarm.text}`} class={`notice ${alarm.severity === "critical" ? "notice-bad" : "notice-warn"}`}>
          <Icon name={alarm.severity === "critical" ? "cross" : "warning"} />
          <div>
            <strong>{alarm.severity === "critical" ? "Critical" : "Warning"}</strong>
            <p>
              {alarm.text}
              {alarm.since && <span class="muted"> Since {when(alarm.since)} UTC.</span>}
            </p>
          </div>
        </li>
      ))}
    </ul>
  );
}

function Figures({ overview, period }: { overview: Overview; period: Period }) {
  const calls = overview.volume.reduce((sum, one) => sum + one.calls, 0);
  const errors = overview.volume.reduce((sum, one) => sum + one.errors, 0);
  const range = { from: period.from, to: period.to };
  return (
    <dl class="figures">
      <div>
        <dt>Calls in the period</dt>
        <dd>{count(calls)}</dd>
      </div>
      <div>
        <dt>
          <a href={href("/records", { outcome: "error", ...range })}>Errors</a>
        </dt>
        <dd>{count(errors)}</dd>
      </div>
      <div>
        <dt>Latency, median</dt>
        <dd>{milliseconds(overview.latency.p50_ms)}</dd>
      </div>
      <div>
        <dt>Latency, 95 %</dt>
        <dd>{milliseconds(overview.latency.p95_ms)}</dd>
      </div>
      <div>
        <dt>Records in the log</dt>
        <dd>{count(overview.log.size)}</dd>
      </div>
    </dl>
  );
}

function Chain({ overview }: { overview: Overview }) {
  const { last, count: anchors, lag_entries: lag, is_late: isLate } = overview.anchors;
  return (
    <Section title="Anchors and witnesses" note="As the server tells it.">
      <dl class="facts">
        <div>
          <dt>Last anchor</dt>
          <dd>
            {last ? (
              <>
                <Status tone={isLate ? "warn" : "good"}>{isLate ? "Late" : "On time"}</Status> {plural(last.size, "record")}, block {count(last.block_number)}
                {last.time && <>, {when(last.time)}</>}
              </>
            ) : (
              <Status tone="warn">None yet</Status>
            )}
          </dd>
        </div>
        {last && (
          <div>
            <dt>Transaction</dt>
            <dd>
              <Digest value={last.transaction} label="transaction" />
            </dd>
          </div>
        )}
        <div>
          <dt>Not yet anchored</dt>
          <dd>
            {plural(lag, "record")}; {plural(anchors, "anchor")} so far
          </dd>
        </div>
        <div>
          <dt>Witnesses</dt>
          <dd>
            <Witnesses witnesses={overview.witnesses} />
          </dd>
        </div>
        <div>
          <dt>Root</dt>
          <dd>
            <Digest value={overview.log.root} label="root" />
          </dd>
        </div>
      </dl>
    </Section>
  );
}

function Witnesses({ witnesses }: { witnesses: Overview["witnesses"] }) {
  const [tone, words] = witnesses.quorum_met === null ? (["plain", "No policy"] as const) : witnesses.quorum_met ? (["good", "Quorum met"] as const) : (["bad", "Quorum not met"] as const);
  return (
    <>
      <Status tone={tone}>{words}</Status> {witnesses.text}
      {witnesses.names.length > 0 && <> ({witnesses.names.join(", ")})</>}
    </>
  );
}

const VERDICT_CLASSES: Record<string, string> = { proven: "series-good", attested: "series-good", signed: "series-a", replaced: "series-warn", rejected: "series-bad", unverified: "series-plain" };

function Charts({ overview, period }: { overview: Overview; period: Period }) {
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
          { name: "Model", isMain: true, cell: (row) => <ModelName value={row.model} link={href("/records", { model: row.model, ...range })} /> },
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
