/** Which page an address names. */

import type { ComponentChildren } from "preact";

import { Page } from "../parts/Page";
import { Empty } from "../parts/States";
import { CompletenessPage } from "./Completeness";
import { DisclosurePage } from "./Disclosure";
import { DisclosuresPage } from "./Disclosures";
import { ErasuresPage } from "./Erasures";
import { ExportPage } from "./Export";
import { HoldsPage } from "./Holds";
import { OperationsPage } from "./Operations";
import { OverviewPage } from "./Overview";
import { ReadersPage } from "./Readers";
import { RecordPage } from "./Record";
import { ReviewsPage } from "./Reviews";
import { SamplePage } from "./Sample";
import { SamplesPage } from "./Samples";
import { SearchPage } from "./Search";
import { SettingsPage } from "./Settings";

const PAGES: [RegExp, (parts: string[], query: URLSearchParams) => ComponentChildren][] = [
  [/^\/$/, (_, query) => <OverviewPage query={query} />],
  [/^\/records$/, (_, query) => <SearchPage query={query} />],
  [/^\/records\/([0-9]{1,15})$/, ([index]) => <RecordPage key={index} index={Number(index)} />],
  [/^\/completeness$/, () => <CompletenessPage />],
  [/^\/samples$/, (_, query) => <SamplesPage query={query} />],
  [/^\/samples\/([^/]+)$/, ([id]) => <SamplePage key={id} id={decodeURIComponent(id ?? "")} />],
  [/^\/reviews$/, (_, query) => <ReviewsPage query={query} />],
  [/^\/disclosures$/, (_, query) => <DisclosuresPage query={query} />],
  [
    /^\/disclosures\/([^/]+)\/records\/([0-9]{1,15})$/,
    ([id, index]) => <DisclosurePage id={decodeURIComponent(id ?? "")} index={Number(index)} />,
  ],
  [/^\/holds$/, (_, query) => <HoldsPage query={query} />],
  [/^\/erasures$/, (_, query) => <ErasuresPage query={query} />],
  [/^\/readers$/, (_, query) => <ReadersPage query={query} />],
  [/^\/export$/, (_, query) => <ExportPage query={query} />],
  [/^\/operations$/, () => <OperationsPage />],
  [/^\/settings$/, () => <SettingsPage />],
];

export function pageOf(path: string, query: URLSearchParams) {
  for (const [form, make] of PAGES) {
    const match = form.exec(path);
    if (match) return <>{make(match.slice(1), query)}</>;
  }
  return (
    <Page title="No such page">
      <Empty>Nothing lies at this address.</Empty>
    </Page>
  );
}
