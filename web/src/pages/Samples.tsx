/** Samples: drawn by a seed, so that anybody can draw them again. Who gives a seed could choose; the log says who did. */

import { useState } from "preact/hooks";

import type { Items, Sample } from "../app/api";
import { get, post } from "../app/client";
import { useAction, useLoading } from "../app/loading";
import { href, navigate } from "../app/router";
import { useMay } from "../app/session";
import { KIND_WORDS, VERDICT_WORDS, count, when } from "../app/words";
import { ActionForm, SelectField, TextField } from "../parts/Form";
import { Older } from "../parts/Older";
import { Page, Section } from "../parts/Page";
import { Empty, Loaded, Permitted } from "../parts/States";
import { Table } from "../parts/Table";

export function SamplesPage({ query }: { query: URLSearchParams }) {
  return (
    <Permitted right="reviews">
      <Content before={query.get("before") ?? ""} />
    </Permitted>
  );
}

function Content({ before }: { before: string }) {
  const { loading, reload } = useLoading(`samples ${before}`, (signal) => get<Items<Sample>>("/samples", { before }, signal));
  const mayDraw = useMay("review");
  return (
    <Page title="Samples" lead="The seed and the population's digest are logged before you see what was drawn, and whether the seed was yours.">
      {mayDraw && <DrawForm />}
      <Loaded loading={loading} reload={reload}>
        {({ items, next }) =>
          items.length === 0 ? (
            <Empty>No sample was drawn yet.</Empty>
          ) : (
            <>
              <Table
                caption="Samples"
                rows={items}
                rowKey={(row) => row.id}
                columns={[
                  {
                    name: "Sample",
                    isMain: true,
                    cell: (row) => <a href={href(`/samples/${encodeURIComponent(row.id)}`)}>Sample {row.id.slice(0, 8)}</a>,
                  },
                  { name: "Drawn", isNumber: true, cell: (row) => `${count(row.indices.length)} of ${count(row.population)}` },
                  { name: "From", cell: (row) => filterWords(row.filter) },
                  { name: "By", cell: (row) => row.by },
                  { name: "Time (UTC)", cell: (row) => when(row.time) },
                ]}
              />
              <Older path="/samples" next={next} before={before} />
            </>
          )
        }
      </Loaded>
    </Page>
  );
}

export function filterWords(filter: Record<string, unknown> | null): string {
  const parts = Object.entries(filter ?? {}).filter(([, value]) => value !== null && value !== "" && value !== undefined);
  return parts.length ? parts.map(([name, value]) => `${name} ${String(value)}`).join(", ") : "all records";
}

function DrawForm() {
  const [size, setSize] = useState("25");
  const [seed, setSeed] = useState("");
  const [kind, setKind] = useState("result");
  const [verdict, setVerdict] = useState("");
  const [model, setModel] = useState("");
  const action = useAction();
  const submit = (): Promise<boolean> =>
    action.run(async () => {
      const filter = Object.fromEntries(Object.entries({ kind, verdict, model }).filter(([, value]) => value));
      const sample = await post<Sample>("/samples", { size: Number(size), seed: seed.trim() || null, filter });
      navigate(href(`/samples/${encodeURIComponent(sample.id)}`));
    });
  return (
    <Section title="Draw a sample">
      <ActionForm action={action} submit="Draw" onSubmit={submit}>
        <div class="form-row">
          <TextField label="How many" type="number" value={size} onInput={setSize} isRequired inputMode="numeric" />
          <SelectField label="Kind" value={kind} onInput={setKind} options={[["", "All kinds"], ...Object.entries(KIND_WORDS)]} />
          <SelectField
            label="Verdict"
            value={verdict}
            onInput={setVerdict}
            options={[["", "Any verdict"], ...Object.entries(VERDICT_WORDS)]}
          />
          <TextField label="Model" value={model} onInput={setModel} />
        </div>
        <TextField
          label="Seed"
          hint="0x and 64 hex digits. Leave it empty and the server draws one. Bring your own, thrown with dice or agreed with others, and nobody can say it was chosen."
          value={seed}
          onInput={setSeed}
          isMono
        />
      </ActionForm>
    </Section>
  );
}
