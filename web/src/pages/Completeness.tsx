/** Whether anything is missing, as far as numbers, links and the chain can tell. */

import type { Completeness, Finding } from "../app/api";
import { get } from "../app/client";
import { useLoading } from "../app/loading";
import { KIND_WORDS, count, duration, plural, when } from "../app/words";
import { Digest } from "../parts/Digest";
import { IndexLinks } from "../parts/IndexLinks";
import { Page, Section } from "../parts/Page";
import { Loaded, Permitted } from "../parts/States";
import { Status, type Tone } from "../parts/Status";
import { Facts, Table } from "../parts/Table";

const VERDICTS: Record<string, [Tone, string]> = {
  complete: ["good", "Complete, as far as numbers reach"],
  gaps: ["bad", "Something is missing, late or contradicts"],
  unknown: ["warn", "No gap was found, but not everything could be asked"],
};

export function CompletenessPage() {
  return (
    <Permitted right="records">
      <Content />
    </Permitted>
  );
}

function Content() {
  const { loading, reload } = useLoading("completeness", (signal) => get<Completeness>("/completeness", {}, signal));
  return (
    <Page title="Completeness" lead="Integrity does not give completeness. What was never numbered and never sent leaves no trace here.">
      <Loaded loading={loading} reload={reload}>
        {(report) => <Report report={report} />}
      </Loaded>
    </Page>
  );
}

function Report({ report }: { report: Completeness }) {
  const [tone, words] = VERDICTS[report.verdict] ?? ["plain", report.verdict];
  return (
    <>
      <p class="verdict-line large">
        <Status tone={tone}>{words}</Status>
      </p>
      <Facts
        facts={[
          ["Looked at", `${plural(report.size, "record")}, ${when(report.time)} UTC`],
          ["Root", <Digest key="root" value={report.root} label="root" />],
          ["Intents", `${count(report.intents.count)}, ${count(report.intents.open)} without a result or error`],
          [
            "Callers' own numbers",
            `${plural(report.streams.count, "stream")}, ${plural(report.streams.numbers, "number")}, ${count(report.streams.missing)} missing`,
          ],
        ]}
      />
      <Findings findings={report.findings} />
      <Section title="Writers" note="Every writer's records are numbered without gaps by the log.">
        <Table
          caption="Writers"
          rows={report.writers}
          rowKey={(row) => row.writer}
          columns={[
            { name: "Writer", isMain: true, cell: (row) => row.writer },
            { name: "Records", isNumber: true, cell: (row) => count(row.last) },
            { name: "Clock records", isNumber: true, cell: (row) => count(row.clocks) },
            { name: "Ahead at most", isNumber: true, cell: (row) => skew(row.ahead_microseconds) },
            { name: "Behind at most", isNumber: true, cell: (row) => skew(row.behind_microseconds) },
          ]}
        />
      </Section>
      <Section title="Kinds">
        <Table
          caption="Records by kind"
          rows={Object.entries(report.kinds)}
          rowKey={([kind]) => kind}
          columns={[
            { name: "Kind", isMain: true, cell: ([kind]) => KIND_WORDS[kind] ?? kind },
            { name: "Records", isNumber: true, cell: ([, number]) => count(number) },
          ]}
        />
      </Section>
      <Section title="From when something counts">
        <Facts facts={Object.entries(report.limits).map(([name, seconds]) => [limitWords(name), duration(seconds)])} />
      </Section>
    </>
  );
}

function Findings({ findings }: { findings: Finding[] }) {
  if (!findings.length) return null;
  const sorted = [...findings].sort((a, b) => Number(a.severity === "doubt") - Number(b.severity === "doubt"));
  return (
    <Section title="Findings">
      <Table
        caption="Findings"
        rows={sorted}
        rowKey={(row) => `${row.kind} ${row.text}`}
        columns={[
          { name: "Finding", isMain: true, cell: (row) => row.text },
          {
            name: "Weight",
            cell: (row) => (
              <Status tone={row.severity === "gap" ? "bad" : "warn"} icon={row.severity === "gap" ? "cross" : "question"}>
                {row.severity === "gap" ? "Gap" : "Doubt"}
              </Status>
            ),
          },
          { name: "Records", cell: (row) => <IndexLinks indices={row.examples} /> },
        ]}
      />
    </Section>
  );
}

function limitWords(name: string): string {
  const words: Record<string, string> = {
    intent_seconds: "Intent without an end, after",
    receipt_seconds: "Delivery without a receipt, after",
    anchor_seconds: "Record without an anchor, after",
    clock_seconds: "Between two clock records",
    skew_seconds: "Writer's clock against the log's",
  };
  return words[name] ?? name.replaceAll("_", " ");
}

function skew(microseconds: number): string {
  return microseconds >= 1_000_000 ? `${(microseconds / 1_000_000).toFixed(1)} s` : `${(microseconds / 1000).toFixed(1)} ms`;
}
