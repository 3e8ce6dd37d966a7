/** Every sign-off, as the log has it. */

import type { Items, Review } from "../app/api";
import { get } from "../app/client";
import { useLoading } from "../app/loading";
import { href } from "../app/router";
import { when } from "../app/words";
import { Older } from "../parts/Older";
import { Page } from "../parts/Page";
import { Empty, Loaded, Permitted } from "../parts/States";
import { Status, type Tone } from "../parts/Status";
import { Table } from "../parts/Table";

const OUTCOMES: Record<string, [Tone, string]> = {
  accepted: ["good", "Accepted"],
  rejected: ["bad", "Rejected"],
  escalated: ["warn", "Escalated"],
};

export function ReviewOutcome({ outcome }: { outcome: string }) {
  const [tone, words] = OUTCOMES[outcome] ?? ["plain", outcome];
  return <Status tone={tone}>{words}</Status>;
}

export function ReviewsPage({ query }: { query: URLSearchParams }) {
  return (
    <Permitted right="reviews">
      <Content before={query.get("before") ?? ""} />
    </Permitted>
  );
}

function Content({ before }: { before: string }) {
  const { loading, reload } = useLoading(`reviews ${before}`, (signal) => get<Items<Review>>("/reviews", { before }, signal));
  return (
    <Page title="Reviews" lead="Each sign-off is a record of the log. Sign off from a record's own page.">
      <Loaded loading={loading} reload={reload}>
        {({ items, next }) =>
          items.length === 0 ? (
            <Empty>
              Nothing has been signed off yet. <a href={href("/samples")}>Draw a sample</a> to begin.
            </Empty>
          ) : (
            <>
              <Table
                caption="Reviews"
                rows={items}
                rowKey={(row) => `${row.index} ${row.time} ${row.by}`}
                columns={[
                  { name: "Record", isMain: true, cell: (row) => <a href={href(`/records/${row.index}`)}>{row.index}</a> },
                  { name: "Outcome", cell: (row) => <ReviewOutcome outcome={row.outcome} /> },
                  { name: "By", cell: (row) => row.by },
                  { name: "Time (UTC)", cell: (row) => when(row.time) },
                  {
                    name: "Logged as",
                    cell: (row) => (row.record === null ? "—" : <a href={href(`/records/${row.record}`)}>{row.record}</a>),
                  },
                ]}
              />
              <Older path="/reviews" next={next} before={before} />
            </>
          )
        }
      </Loaded>
    </Page>
  );
}
