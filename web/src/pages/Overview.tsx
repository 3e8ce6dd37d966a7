/** How the log stands and what went through it in a period. */

import type { Alarm, Overview } from "../app/api";
import { get } from "../app/client";
import { useLoading } from "../app/loading";
import { type Period, PeriodPicker, readPeriod } from "../parts/Period";
import { href } from "../app/router";
import { count, milliseconds, plural, when } from "../app/words";
import { Digest } from "../parts/Digest";
import { HeadVerification } from "../parts/HeadVerification";
import { Icon } from "../parts/Icon";
import { Page, Section } from "../parts/Page";
import { Loaded, Permitted } from "../parts/States";
import { Status } from "../parts/Status";
import { Charts } from "./OverviewCharts";

export function OverviewPage({ query }: { query: URLSearchParams }) {
  return (
    <Permitted right="records">
      <Content period={readPeriod(query)} />
    </Permitted>
  );
}

function Content({ period }: { period: Period }) {
  const { loading, reload } = useLoading(`${period.from} ${period.to}`, (signal) =>
    get<Overview>("/overview", { from: period.from, to: period.to }, signal),
  );
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
                <Status tone={isLate ? "warn" : "good"}>{isLate ? "Late" : "On time"}</Status> {plural(last.size, "record")}, block{" "}
                {count(last.block_number)}
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
  const [tone, words] =
    witnesses.quorum_met === null
      ? (["plain", "No policy"] as const)
      : witnesses.quorum_met
        ? (["good", "Quorum met"] as const)
        : (["bad", "Quorum not met"] as const);
  return (
    <>
      <Status tone={tone}>{words}</Status> {witnesses.text}
      {witnesses.names.length > 0 && <> ({witnesses.names.join(", ")})</>}
    </>
  );
}
