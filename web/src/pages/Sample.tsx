/** One sample: how it was drawn, and how far its review has come. */

import type { Items, Review, Sample } from "../app/api";
import { get } from "../app/client";
import { useLoading } from "../app/loading";
import { href } from "../app/router";
import { count, when } from "../app/words";
import { Digest } from "../parts/Digest";
import { Page, Section } from "../parts/Page";
import { Loaded, Permitted } from "../parts/States";
import { Facts, Table } from "../parts/Table";
import { ReviewOutcome } from "./Reviews";
import { filterWords } from "./Samples";

export function SamplePage({ id }: { id: string }) {
  return (
    <Permitted right="reviews">
      <Content id={id} />
    </Permitted>
  );
}

interface Both {
  sample: Sample;
  reviews: Map<number, Review>;
}

async function ask(id: string, signal: AbortSignal): Promise<Both> {
  const [sample, reviews] = await Promise.all([
    get<Sample>(`/samples/${encodeURIComponent(id)}`, {}, signal),
    get<Items<Review>>("/reviews", {}, signal),
  ]);
  return { sample, reviews: new Map(reviews.items.map((review) => [review.index, review])) };
}

function Content({ id }: { id: string }) {
  const { loading, reload } = useLoading(`sample ${id}`, (signal) => ask(id, signal));
  return (
    <Page title="Sample">
      <Loaded loading={loading} reload={reload}>
        {(both) => <Drawn {...both} />}
      </Loaded>
    </Page>
  );
}

function Drawn({ sample, reviews }: Both) {
  const done = sample.indices.filter((index) => reviews.has(index)).length;
  return (
    <>
      <Section title="How it was drawn">
        <Facts
          facts={[
            ["Seed", <Digest key="seed" value={sample.seed} label="seed" />],
            ["Population", `${count(sample.population)}: ${filterWords(sample.filter)}`],
            ["Digest of the population", <Digest key="digest" value={sample.population_digest} label="digest of the population" />],
            ["Drawn by", `${sample.by}, ${when(sample.time)} UTC`],
            [
              "Logged as",
              sample.index === null ? (
                "—"
              ) : (
                <a key="index" href={href(`/records/${sample.index}`)}>
                  record {sample.index}
                </a>
              ),
            ],
          ]}
        />
        <p class="note">
          <code>affidavit audit sample</code> with the same seed and filter draws the same records.
        </p>
      </Section>
      <Section title="Drawn records" note={`${count(done)} of ${count(sample.indices.length)} signed off.`}>
        <Table
          caption="Drawn records"
          rows={sample.indices}
          rowKey={(index) => index}
          columns={[
            { name: "Record", isMain: true, cell: (index) => <a href={href(`/records/${index}`)}>{count(index)}</a> },
            { name: "Review", cell: (index) => <State review={reviews.get(index)} /> },
          ]}
        />
      </Section>
    </>
  );
}

function State({ review }: { review: Review | undefined }) {
  if (!review) return <span class="muted">Not yet</span>;
  return (
    <>
      <ReviewOutcome outcome={review.outcome} /> by {review.by}
    </>
  );
}
