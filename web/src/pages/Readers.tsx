/** Who read what. The list is made from the log's own records, so it cannot be shortened without being caught. */

import type { Items, Reading } from "../app/api";
import { get } from "../app/client";
import { useLoading } from "../app/loading";
import { href } from "../app/router";
import { when } from "../app/words";
import { IndexLinks } from "../parts/IndexLinks";
import { Older } from "../parts/Older";
import { Page } from "../parts/Page";
import { Empty, Loaded, Permitted } from "../parts/States";
import { Table } from "../parts/Table";

const ACTIONS: Record<string, string> = {
  read: "Read content",
  requested: "Asked for disclosure",
  approved: "Approved a disclosure",
  denied: "Denied a disclosure",
  closed: "Closed a disclosure",
  expired: "A disclosure's time ended",
};

export function ReadersPage({ query }: { query: URLSearchParams }) {
  return (
    <Permitted right="readers">
      <Content before={query.get("before") ?? ""} />
    </Permitted>
  );
}

function Content({ before }: { before: string }) {
  const { loading, reload } = useLoading(`readers ${before}`, (signal) => get<Items<Reading>>("/readers", { before }, signal));
  return (
    <Page
      title="Log of readers"
      lead="Made from the log's own records. Readers stand there under pseudonyms; opening this list is not logged, opening content is."
    >
      <Loaded loading={loading} reload={reload}>
        {({ items, next }) =>
          items.length === 0 ? (
            <Empty>Nobody has read any content.</Empty>
          ) : (
            <>
              <Table
                caption="Readers"
                rows={items}
                rowKey={(row) => row.index}
                columns={[
                  { name: "Time (UTC)", cell: (row) => when(row.time) },
                  { name: "Who", isMain: true, cell: (row) => row.reader },
                  { name: "What", cell: (row) => ACTIONS[row.action] ?? row.action },
                  { name: "Records", cell: (row) => <IndexLinks indices={row.indices} /> },
                  { name: "Logged as", cell: (row) => <a href={href(`/records/${row.index}`)}>{row.index}</a> },
                ]}
              />
              <Older path="/readers" next={next} before={before} />
            </>
          )
        }
      </Loaded>
    </Page>
  );
}
