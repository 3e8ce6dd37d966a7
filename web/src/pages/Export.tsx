/** Taking things away: tables, reports, evidence bundles. */

import { useState } from "preact/hooks";

import { fileUrl } from "../app/client";
import { href } from "../app/router";
import { TextField } from "../parts/Form";
import { Page, Section } from "../parts/Page";
import { Permitted } from "../parts/States";
import { Chips, FilterForm, readFilters } from "./Search";

export function ExportPage({ query }: { query: URLSearchParams }) {
  return (
    <Permitted right="export">
      <Page title="Export" lead="Tables for your tools, reports for readers, bundles that verify themselves.">
        <Tables query={query} />
        <Bundle />
        <Report />
      </Page>
    </Permitted>
  );
}

const FORMATS: [string, string, string][] = [
  ["csv", "CSV", "for spreadsheets"],
  ["jsonl", "JSON Lines", "one record a line, as it was logged"],
  ["parquet", "Parquet", "for data frames"],
];

function Tables({ query }: { query: URLSearchParams }) {
  const filters = readFilters(query);
  return (
    <Section
      title="Records as a table"
      note={
        <>
          Choose as in the <a href={href("/records", filters)}>search</a>; without a filter everything is exported.
        </>
      }
    >
      <FilterForm filters={filters} path="/export" submit="Apply" />
      <Chips filters={filters} path="/export" />
      <ul class="downloads">
        {FORMATS.map(([format, words, hint]) => (
          <li key={format}>
            <a class="button" href={fileUrl("/export", { format, ...filters })} download>
              {words}
            </a>{" "}
            <span class="muted">{hint}</span>
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Bundle() {
  const [value, setValue] = useState("");
  const text = value.trim();
  const scope = /^[0-9]{1,15}$/.test(text) ? { index: text } : /^0x[0-9a-fA-F]{64}$/.test(text) ? { call_id: text } : null;
  return (
    <Section
      title="Evidence bundle"
      note="An archive of one call with its proofs. The script in it verifies everything offline, and says in plain words what it checked."
    >
      <div class="form-row">
        <TextField label="Record number or call id" value={value} onInput={setValue} isMono placeholder="17 or 0x…" />
      </div>
      {scope ? (
        <a class="button" href={fileUrl("/bundle", scope)} download>
          Bundle
        </a>
      ) : (
        <p class="muted">{text ? "This is neither a record number nor a call id." : "Enter one to get its bundle."}</p>
      )}
    </Section>
  );
}

function Report() {
  const today = new Date().toISOString().slice(0, 10);
  const [from, setFrom] = useState(`${today.slice(0, 8)}01`);
  const [to, setTo] = useState(today);
  const isPeriod = from !== "" && to !== "" && from <= to;
  const range = { from: `${from}T00:00:00Z`, to: `${to}T23:59:59Z` };
  return (
    <Section
      title="Report"
      note="Volumes, verdicts, failures, completeness, samples, reviews and incidents of a period, with the proof material."
    >
      <div class="form-row">
        <TextField label="From" type="date" value={from} onInput={setFrom} isRequired />
        <TextField label="To" type="date" value={to} onInput={setTo} isRequired />
      </div>
      {isPeriod ? (
        <div class="actions">
          <a class="button" href={fileUrl("/reports", { ...range, format: "pdf" })} download>
            PDF
          </a>
          <a class="button" href={fileUrl("/reports", { ...range, format: "html" })} download>
            HTML
          </a>
        </div>
      ) : (
        <p class="bad-text">The report's last day lies before its first.</p>
      )}
    </Section>
  );
}
