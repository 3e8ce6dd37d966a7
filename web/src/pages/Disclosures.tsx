/** Four-eyes disclosure: one person asks, another approves, and both are in the log before anything is shown. */

import { useState } from "preact/hooks";

import type { Disclosure, Items } from "../app/api";
import { get, post } from "../app/client";
import { parseIndices } from "../app/indices";
import { useAction, useLoading } from "../app/loading";
import { href, navigate } from "../app/router";
import { useMay, useSession } from "../app/session";
import { plural, when } from "../app/words";
import { Decide } from "../parts/Decide";
import { ActionForm, AreaField, SelectField, TextField } from "../parts/Form";
import { IndexLinks } from "../parts/IndexLinks";
import { Older } from "../parts/Older";
import { Page, Section } from "../parts/Page";
import { Empty, Loaded, Permitted } from "../parts/States";
import { Status, type Tone } from "../parts/Status";
import { TimeLeft } from "../parts/TimeLeft";

const STATES: Record<string, [Tone, string]> = {
  requested: ["warn", "Waits for approval"],
  approved: ["good", "Open"],
  denied: ["bad", "Denied"],
  closed: ["plain", "Closed"],
  expired: ["plain", "Expired"],
};

export function DisclosureState({ disclosure }: { disclosure: Disclosure }) {
  const [tone, words] = STATES[disclosure.state] ?? ["plain", disclosure.state];
  return (
    <Status tone={tone} {...(disclosure.state === "requested" ? { icon: "clock" as const } : {})}>
      {words}
    </Status>
  );
}

export function DisclosuresPage({ query }: { query: URLSearchParams }) {
  return (
    <Permitted right="disclosures">
      <Content indices={query.get("indices") ?? ""} before={query.get("before") ?? ""} />
    </Permitted>
  );
}

function Content({ indices, before }: { indices: string; before: string }) {
  const { loading, reload } = useLoading(`disclosures ${before}`, (signal) => get<Items<Disclosure>>("/disclosures", { before }, signal));
  const mayRequest = useMay("requestDisclosure");
  const [isAsking, setAsking] = useState(indices !== "");
  return (
    <Page
      title="Disclosures"
      lead="Content is opened only after another person agrees, for a limited time. Every reading is logged."
      actions={
        mayRequest &&
        !isAsking && (
          <button type="button" class="primary" onClick={() => setAsking(true)}>
            Ask for disclosure
          </button>
        )
      }
    >
      {mayRequest && isAsking && (
        <RequestForm
          indices={indices}
          onDone={() => {
            setAsking(false);
            navigate(href("/disclosures"), true);
            reload();
          }}
        />
      )}
      <Loaded loading={loading} reload={reload}>
        {({ items, next }) => (
          <>
            <Lists items={items} reload={reload} />
            <Older path="/disclosures" next={next} before={before} />
          </>
        )}
      </Loaded>
    </Page>
  );
}

function RequestForm({ indices: given, onDone }: { indices: string; onDone: () => void }) {
  const [indices, setIndices] = useState(given);
  const [reason, setReason] = useState("");
  const [minutes, setMinutes] = useState("60");
  const action = useAction();
  const submit = async (): Promise<void> => {
    const done = await action.run(async () => {
      const parsed = parseIndices(indices);
      if (!parsed) throw new Error("Records: write numbers and ranges, such as 17, 20-23.");
      await post("/disclosures", { indices: parsed, reason, minutes: Number(minutes) });
    });
    if (done) onDone();
  };
  return (
    <Section title="Ask for disclosure">
      <ActionForm action={action} submit="Send to the approvers" onSubmit={submit}>
        <div class="form-row">
          <TextField label="Records" hint="Numbers and ranges: 17, 20-23" value={indices} onInput={setIndices} isRequired isMono />
          <SelectField
            label="Open for"
            value={minutes}
            onInput={setMinutes}
            options={[
              ["15", "15 minutes"],
              ["60", "1 hour"],
              ["240", "4 hours"],
              ["1440", "1 day"],
            ]}
          />
        </div>
        <AreaField label="Reason" hint="The approver reads it; the log keeps it sealed." value={reason} onInput={setReason} isRequired />
      </ActionForm>
    </Section>
  );
}

function Lists({ items, reload }: { items: Disclosure[]; reload: () => void }) {
  const inbox = items.filter((one) => one.may_decide);
  const open = items.filter((one) => one.state === "approved" && !inbox.includes(one));
  const rest = items.filter((one) => !inbox.includes(one) && !open.includes(one));
  if (!items.length) return <Empty>Nobody has asked for content yet.</Empty>;
  return (
    <>
      {inbox.length > 0 && <CaseList title="For you to decide" items={inbox} reload={reload} />}
      {open.length > 0 && <CaseList title="Open now" items={open} reload={reload} />}
      {rest.length > 0 && <CaseList title={inbox.length || open.length ? "Others" : "All"} items={rest} reload={reload} />}
    </>
  );
}

function CaseList({ title, items, reload }: { title: string; items: Disclosure[]; reload: () => void }) {
  return (
    <Section title={title}>
      <ul class="cases">
        {items.map((item) => (
          <li key={item.id} class="case">
            <Case item={item} reload={reload} />
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Case({ item, reload }: { item: Disclosure; reload: () => void }) {
  const { me } = useSession();
  const path = `/disclosures/${encodeURIComponent(item.id)}`;
  const decide = item.may_decide
    ? [
        { words: "Approve", act: () => post(`${path}/approve`) },
        { words: "Deny", act: () => post(`${path}/deny`), isDanger: true },
      ]
    : [];
  const close = item.state === "approved" && item.may_open ? [{ words: "Close now", act: () => post(`${path}/close`) }] : [];
  return (
    <>
      <div class="case-head">
        <DisclosureState disclosure={item} />
        {item.state === "approved" && <TimeLeft until={item.expires_at} />}
        <span class="muted">{when(item.requested_at)}</span>
      </div>
      <p class="quote">{item.reason}</p>
      <p class="case-line">
        <strong>{item.by === me.name ? "You" : item.by}</strong> {item.by === me.name ? "ask" : "asks"} for{" "}
        {plural(item.indices.length, "record")}, for {item.minutes} minutes: <IndexLinks indices={item.indices} />
      </p>
      {item.decided_by && (
        <p class="case-line muted">
          Decided by {item.decided_by}
          {item.decided_at && <>, {when(item.decided_at)}</>}
        </p>
      )}
      {item.may_open && (
        <ul class="open-links" aria-label="Open content">
          {item.indices.slice(0, 20).map((index) => (
            <li key={index}>
              <a class="button" href={href(`${path}/records/${index}`)}>
                Open record {index}
              </a>
            </li>
          ))}
        </ul>
      )}
      <Decide choices={[...decide, ...close]} onDone={reload} />
    </>
  );
}
