/** Searching the records. The filters are the address: whoever gets the link sees the same question. */

import { useEffect, useState } from "preact/hooks";

import type { RecordPage, RecordRow } from "../app/api";
import { get } from "../app/client";
import { useLoading } from "../app/loading";
import { href, navigate } from "../app/router";
import { EVIDENCE_WORDS, KIND_WORDS, OUTCOME_WORDS, VERDICT_WORDS, count, milliseconds, plural, when } from "../app/words";
import { SelectField, TextField } from "../parts/Form";
import { Page } from "../parts/Page";
import { Shortened } from "../parts/Digest";
import { Empty, Loaded, Permitted } from "../parts/States";
import { OutcomeStatus, Status, VerdictStatus } from "../parts/Status";
import { Table } from "../parts/Table";

export const FILTERS = [
  "q",
  "kind",
  "model",
  "caller",
  "outcome",
  "verdict",
  "evidence",
  "call_id",
  "hash",
  "transaction",
  "writer",
  "from",
  "to",
] as const;
export type FilterName = (typeof FILTERS)[number];
export type Filters = Record<FilterName, string>;

const LIMIT = 50;

const FILTER_WORDS: Filters = {
  q: "Text",
  kind: "Kind",
  model: "Model",
  caller: "Caller",
  outcome: "Outcome",
  verdict: "Verdict",
  evidence: "Evidence",
  call_id: "Call",
  hash: "Digest",
  transaction: "Transaction",
  writer: "Writer",
  from: "From",
  to: "To",
};

export function readFilters(query: URLSearchParams): Filters {
  return Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""])) as Filters;
}

export function SearchPage({ query }: { query: URLSearchParams }) {
  return (
    <Permitted right="records">
      <Content filters={readFilters(query)} before={query.get("before") ?? ""} />
    </Permitted>
  );
}

function Content({ filters, before }: { filters: Filters; before: string }) {
  const key = JSON.stringify([filters, before]);
  const { loading, reload } = useLoading(key, (signal) => get<RecordPage>("/records", { ...filters, before, limit: LIMIT }, signal));
  return (
    <Page title="Search" lead="Rows come from the server's index. Open a record to have this browser verify it.">
      <FilterForm filters={filters} />
      <Chips filters={filters} />
      <Loaded loading={loading} reload={reload}>
        {(page) => <Results page={page} filters={filters} before={before} />}
      </Loaded>
    </Page>
  );
}

/** Days are enough for most questions; the address takes any RFC 3339 time. */
function toTime(value: string): string {
  return /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}$/.test(value) ? `${value}:00Z` : value;
}

function fromTime(value: string): string {
  return value.slice(0, 16);
}

export function FilterForm({ filters, path = "/records", submit = "Search" }: { filters: Filters; path?: string; submit?: string }) {
  const [draft, setDraft] = useState(filters);
  useEffect(() => setDraft(filters), [JSON.stringify(filters)]);
  const set = (name: FilterName) => (value: string) => setDraft((old) => ({ ...old, [name]: value }));
  const hasMore = FILTERS.some((name) => name !== "q" && name !== "kind" && name !== "verdict" && filters[name]);
  return (
    <form
      class="filters"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        navigate(path === "/records" ? searchUrl(draft) : href(path, draft));
      }}
    >
      <div class="filter-main">
        <TextField
          label={path === "/records" ? "Words, a digest, or a record's number" : "Words"}
          type="search"
          value={draft.q}
          onInput={set("q")}
          inputMode="search"
        />
        <SelectField label="Kind" value={draft.kind} onInput={set("kind")} options={choices(KIND_WORDS, "All kinds")} />
        <SelectField label="Verdict" value={draft.verdict} onInput={set("verdict")} options={choices(VERDICT_WORDS, "Any verdict")} />
        <button type="submit" class="primary">
          {submit}
        </button>
      </div>
      <details open={hasMore}>
        <summary>More filters</summary>
        <div class="filter-more">
          <SelectField label="Outcome" value={draft.outcome} onInput={set("outcome")} options={choices(OUTCOME_WORDS, "Any outcome")} />
          <SelectField
            label="Evidence"
            value={draft.evidence}
            onInput={set("evidence")}
            options={choices(EVIDENCE_WORDS, "Any evidence")}
          />
          <TextField label="Model" value={draft.model} onInput={set("model")} />
          <TextField label="Caller" value={draft.caller} onInput={set("caller")} />
          <TextField label="Writer" value={draft.writer} onInput={set("writer")} />
          <TextField label="Call id" value={draft.call_id} onInput={set("call_id")} isMono placeholder="0x…" />
          <TextField label="Digest in any field" value={draft.hash} onInput={set("hash")} isMono placeholder="0x…" />
          <TextField label="Transaction" value={draft.transaction} onInput={set("transaction")} isMono placeholder="0x…" />
          <TextField
            label="From (UTC)"
            type="datetime-local"
            value={fromTime(draft.from)}
            onInput={(value) => set("from")(toTime(value))}
          />
          <TextField label="To (UTC)" type="datetime-local" value={fromTime(draft.to)} onInput={(value) => set("to")(toTime(value))} />
        </div>
      </details>
    </form>
  );
}

/** A number is a record, and a digest stands in any field: neither is a word to look for. */
function searchUrl(filters: Filters): string {
  const text = filters.q.trim();
  if (/^[0-9]{1,15}$/.test(text)) return href(`/records/${Number(text)}`);
  if (/^0x[0-9a-fA-F]{8,}$/.test(text)) return href("/records", { ...filters, q: "", hash: text });
  return href("/records", { ...filters, q: text });
}

function choices(words: Record<string, string>, all: string): [string, string][] {
  return [["", all], ...Object.entries(words)];
}

/** What is being filtered by, each with a link that takes it away. */
export function Chips({ filters, path = "/records" }: { filters: Filters; path?: string }) {
  const used = FILTERS.filter((name) => filters[name]);
  if (!used.length) return null;
  return (
    <ul class="chips" aria-label="Filters in use">
      {used.map((name) => (
        <li key={name}>
          <a class="chip" href={href(path, { ...filters, [name]: "" })} aria-label={`Remove filter ${FILTER_WORDS[name]} ${filters[name]}`}>
            <span class="muted">{FILTER_WORDS[name]}</span> {shorten(words(name, filters[name]))} <span aria-hidden="true">×</span>
          </a>
        </li>
      ))}
      <li>
        <a href={href(path)}>Clear all</a>
      </li>
    </ul>
  );
}

function words(name: FilterName, value: string): string {
  const known =
    name === "kind"
      ? KIND_WORDS
      : name === "verdict"
        ? VERDICT_WORDS
        : name === "outcome"
          ? OUTCOME_WORDS
          : name === "evidence"
            ? EVIDENCE_WORDS
            : {};
  return known[value] ?? (name === "from" || name === "to" ? when(value) : value);
}

function shorten(text: string): string {
  return text.length > 28 ? `${text.slice(0, 12)}…${text.slice(-8)}` : text;
}

function Results({ page, filters, before }: { page: RecordPage; filters: Filters; before: string }) {
  if (!page.items.length) return <Empty>No record fits. Take a filter away, or ask for a longer time.</Empty>;
  return (
    <>
      <p class="result-count" role="status">
        {page.total === null
          ? plural(page.items.length, "record") + (page.next === null ? "" : " of more")
          : `${plural(page.total, "record")}, ${count(page.items.length)} shown`}
        , newest first
      </p>
      <RecordTable rows={page.items} caption="Records that fit" />
      <nav class="pager" aria-label="Pages of results">
        {before && <a href={href("/records", filters)}>Newest</a>}
        {page.next !== null && (
          <a class="button" href={href("/records", { ...filters, before: page.next })}>
            Older records
          </a>
        )}
      </nav>
    </>
  );
}

export function RecordTable({ rows, caption }: { rows: RecordRow[]; caption: string }) {
  return (
    <Table
      caption={caption}
      rows={rows}
      rowKey={(row) => row.index}
      columns={[
        {
          name: "Record",
          isMain: true,
          cell: (row) => (
            <a class="record-link" href={href(`/records/${row.index}`)}>
              {count(row.index)}
            </a>
          ),
        },
        { name: "Time (UTC)", cell: (row) => <time dateTime={row.time}>{when(row.time)}</time> },
        { name: "Kind", cell: (row) => KIND_WORDS[row.kind] ?? row.kind },
        { name: "Model", cell: (row) => (row.model ? <ShortText value={row.model} /> : <None />) },
        { name: "Caller", cell: (row) => (row.caller ? <ShortText value={row.caller} /> : <span class="muted">{row.writer}</span>) },
        { name: "Outcome", cell: (row) => (row.outcome ? <OutcomeStatus outcome={row.outcome} /> : <None />) },
        { name: "Verdict", cell: (row) => (row.verdict ? <VerdictStatus verdict={row.verdict} /> : <None />) },
        {
          name: "Latency",
          isNumber: true,
          cell: (row) => (row.latency_microseconds === null ? <None /> : milliseconds(row.latency_microseconds / 1000)),
        },
        { name: "Content", cell: (row) => <ContentState state={row.content} /> },
      ]}
    />
  );
}

function None() {
  return <span class="muted none">—</span>;
}

function ShortText({ value }: { value: string }) {
  if (/^0x[0-9a-fA-F]{40,}$/.test(value)) {
    return (
      <code title={value}>
        <Shortened value={value} />
      </code>
    );
  }
  return (
    <span class="short" title={value}>
      {value.length > 34 ? `${value.slice(0, 32)}…` : value}
    </span>
  );
}

export function ContentState({ state }: { state: string | null }) {
  if (state === "present")
    return (
      <Status tone="plain" icon="check">
        Kept
      </Status>
    );
  if (state === "erased")
    return (
      <Status tone="warn" icon="cross">
        Erased
      </Status>
    );
  return <None />;
}
