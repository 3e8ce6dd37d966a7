/** Erasures: keys are destroyed, proofs stay. One person asks, the key custodian approves. */

import { useState } from "preact/hooks";

import type { Erasure, Items } from "../app/api";
import { get, post } from "../app/client";
import { parseIndices } from "../app/indices";
import { useAction, useLoading } from "../app/loading";
import { href, navigate } from "../app/router";
import { useMay } from "../app/session";
import { plural, scopeWords, when } from "../app/words";
import { Decide } from "../parts/Decide";
import { ShortenedText } from "../parts/Digest";
import { ActionForm, AreaField, SelectField, TextField } from "../parts/Form";
import { IndexLinks } from "../parts/IndexLinks";
import { Older } from "../parts/Older";
import { Page, Section } from "../parts/Page";
import { Empty, Loaded, Permitted } from "../parts/States";
import { Status, type Tone } from "../parts/Status";

const STATES: Record<Erasure["state"], [Tone, string]> = {
  requested: ["warn", "Waits for the key custodian"],
  approved: ["warn", "Approved, being done"],
  held: ["warn", "Approved, and waits"],
  done: ["good", "Erased: the keys are destroyed"],
  denied: ["bad", "Denied"],
};

export function ErasuresPage({ query }: { query: URLSearchParams }) {
  return (
    <Permitted right="erasures">
      <Content indices={query.get("indices") ?? ""} before={query.get("before") ?? ""} />
    </Permitted>
  );
}

function Content({ indices, before }: { indices: string; before: string }) {
  const { loading, reload } = useLoading(`erasures ${before}`, (signal) => get<Items<Erasure>>("/erasures", { before }, signal));
  const mayRequest = useMay("requestErasure");
  const [isAsking, setAsking] = useState(indices !== "");
  return (
    <Page
      title="Erasures"
      lead="Keys and salts are destroyed; records stay as commitments, and every proof still holds."
      actions={
        mayRequest &&
        !isAsking && (
          <button type="button" class="primary" onClick={() => setAsking(true)}>
            Ask for an erasure
          </button>
        )
      }
    >
      {mayRequest && isAsking && (
        <RequestForm
          indices={indices}
          onDone={() => {
            setAsking(false);
            navigate(href("/erasures"), true);
            reload();
          }}
        />
      )}
      <Loaded loading={loading} reload={reload}>
        {({ items, next }) => (
          <>
            {items.length ? <List items={items} reload={reload} /> : <Empty>Nothing was erased, and nobody asks for it.</Empty>}
            <Older path="/erasures" next={next} before={before} />
          </>
        )}
      </Loaded>
    </Page>
  );
}

function RequestForm({ indices: given, onDone }: { indices: string; onDone: () => void }) {
  const [kind, setKind] = useState(given ? "indices" : "subject");
  const [indices, setIndices] = useState(given);
  const [reference, setReference] = useState("");
  const [writer, setWriter] = useState("");
  const [reason, setReason] = useState("");
  const action = useAction();
  const submit = async (): Promise<void> => {
    const done = await action.run(async () => {
      const parsed = parseIndices(indices);
      if (kind === "indices" && !parsed) throw new Error("Records: write numbers and ranges, such as 17, 20-23.");
      const scope = kind === "indices" ? { indices: parsed } : { subject_reference: reference.trim(), writer: writer.trim() };
      await post("/erasures", { scope, reason });
    });
    if (done) onDone();
  };
  return (
    <Section title="Ask for an erasure">
      <ActionForm action={action} submit="Send to the key custodian" onSubmit={submit} isDanger>
        <div class="form-row">
          <SelectField
            label="Erase"
            value={kind}
            onInput={setKind}
            options={[
              ["subject", "Everything about a person"],
              ["indices", "The content of some records"],
            ]}
          />
          {kind === "indices" ? (
            <TextField label="Records" hint="Numbers and ranges: 17, 20-23" value={indices} onInput={setIndices} isRequired isMono />
          ) : (
            <>
              <TextField label="Writer" hint="The application that recorded the person" value={writer} onInput={setWriter} isRequired />
              <TextField
                label="Reference"
                hint="As that application names the person"
                value={reference}
                onInput={setReference}
                isRequired
                autoComplete="off"
              />
            </>
          )}
        </div>
        <AreaField label="Reason" hint="The log keeps it sealed." value={reason} onInput={setReason} isRequired />
      </ActionForm>
    </Section>
  );
}

function List({ items, reload }: { items: Erasure[]; reload: () => void }) {
  const inbox = items.filter((one) => one.may_decide);
  const rest = items.filter((one) => !one.may_decide);
  return (
    <>
      {[
        { title: "For you to decide", list: inbox },
        { title: inbox.length ? "Others" : "All", list: rest },
      ].map(({ title, list }) =>
        list.length ? (
          <Section key={title} title={title}>
            <ul class="cases">
              {list.map((one) => (
                <li key={one.id} class="case">
                  <ErasureCase erasure={one} reload={reload} />
                </li>
              ))}
            </ul>
          </Section>
        ) : null,
      )}
    </>
  );
}

function ErasureCase({ erasure, reload }: { erasure: Erasure; reload: () => void }) {
  const path = `/erasures/${encodeURIComponent(erasure.id)}`;
  const [tone, words] = STATES[erasure.state];
  const choices = erasure.may_decide
    ? [
        { words: "Approve and destroy the keys", act: () => post(`${path}/approve`), isDanger: true },
        { words: "Deny", act: () => post(`${path}/deny`) },
      ]
    : [];
  return (
    <>
      <div class="case-head">
        <Status tone={tone} {...(erasure.state === "requested" ? { icon: "clock" as const } : {})}>
          {words}
        </Status>
        <span class="muted">{when(erasure.requested_at)}</span>
      </div>
      <p class="quote">{erasure.reason}</p>
      <p class="case-line">
        <strong>{erasure.by}</strong> asks to erase <ShortenedText text={scopeWords(erasure.scope)} />
        {erasure.decided_by && <>; decided by {erasure.decided_by}</>}.
      </p>
      {erasure.problem && <p class="bad-text">{erasure.problem}</p>}
      {erasure.erased.length > 0 && (
        <p class="case-line">
          {plural(erasure.erased.length, "record")} erased: <IndexLinks indices={erasure.erased} />
        </p>
      )}
      <Decide choices={choices} onDone={reload} />
    </>
  );
}
