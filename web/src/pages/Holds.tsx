/** Legal holds: while one stands, nothing it covers is erased or pruned. Releasing it takes two people. */

import { useState } from "preact/hooks";

import type { Hold, Items } from "../app/api";
import { get, post } from "../app/client";
import { useAction, useLoading } from "../app/loading";
import { href, navigate } from "../app/router";
import { useMay } from "../app/session";
import { scopeWords, when } from "../app/words";
import { Decide } from "../parts/Decide";
import { ActionForm, AreaField, SelectField, TextField } from "../parts/Form";
import { Page, Section } from "../parts/Page";
import { Empty, Loaded, Permitted } from "../parts/States";
import { Status } from "../parts/Status";

export function HoldsPage({ query }: { query: URLSearchParams }) {
  return (
    <Permitted right="holds">
      <Content index={query.get("index") ?? ""} />
    </Permitted>
  );
}

function Content({ index }: { index: string }) {
  const { loading, reload } = useLoading("holds", (signal) => get<Items<Hold>>("/holds", {}, signal));
  const mayPlace = useMay("placeHold");
  const [isPlacing, setPlacing] = useState(index !== "");
  return (
    <Page
      title="Legal holds"
      lead="What is held is neither erased nor pruned, whatever its retention class says."
      actions={
        mayPlace &&
        !isPlacing && (
          <button type="button" class="primary" onClick={() => setPlacing(true)}>
            Place a hold
          </button>
        )
      }
    >
      {mayPlace && isPlacing && (
        <PlaceForm
          index={index}
          onDone={() => {
            setPlacing(false);
            navigate(href("/holds"), true);
            reload();
          }}
        />
      )}
      <Loaded loading={loading} reload={reload}>
        {({ items }) => (items.length ? <Lists items={items} reload={reload} /> : <Empty>Nothing is held.</Empty>)}
      </Loaded>
    </Page>
  );
}

function PlaceForm({ index: given, onDone }: { index: string; onDone: () => void }) {
  const [kind, setKind] = useState("index");
  const [value, setValue] = useState(given);
  const [until, setUntil] = useState("");
  const [reason, setReason] = useState("");
  const action = useAction();
  const submit = async (): Promise<void> => {
    if (await action.run(() => post("/holds", { scope: scopeOf(kind, value.trim(), until), reason }))) onDone();
  };
  return (
    <Section title="Place a hold">
      <ActionForm action={action} submit="Place the hold" onSubmit={submit}>
        <div class="form-row">
          <SelectField
            label="Covers"
            value={kind}
            onInput={setKind}
            options={[
              ["index", "One record"],
              ["call_id", "A call"],
              ["subject", "A person, by their id in the log"],
              ["from", "A time"],
            ]}
          />
          {kind === "from" ? (
            <>
              <TextField label="From (UTC)" type="datetime-local" value={value} onInput={setValue} isRequired />
              <TextField label="To (UTC)" type="datetime-local" value={until} onInput={setUntil} isRequired />
            </>
          ) : (
            <TextField label={kind === "index" ? "Record" : "Id"} value={value} onInput={setValue} isRequired isMono {...(kind === "index" ? { inputMode: "numeric" as const } : { placeholder: "0x…" })} />
          )}
        </div>
        <AreaField label="Reason" hint="The log keeps it sealed." value={reason} onInput={setReason} isRequired />
      </ActionForm>
    </Section>
  );
}

function scopeOf(kind: string, value: string, until: string): Record<string, unknown> {
  if (kind === "index") return { index: Number(value) };
  if (kind === "from") return { from: `${value}:00Z`, to: `${until}:00Z` };
  return { [kind]: value };
}

function Lists({ items, reload }: { items: Hold[]; reload: () => void }) {
  const inbox = items.filter((hold) => hold.may_approve);
  const standing = items.filter((hold) => hold.state !== "released" && !inbox.includes(hold));
  const released = items.filter((hold) => hold.state === "released");
  return (
    <>
      {inbox.length > 0 && <HoldList title="For you to decide" items={inbox} reload={reload} />}
      {standing.length > 0 && <HoldList title="Standing" items={standing} reload={reload} />}
      {released.length > 0 && <HoldList title="Released" items={released} reload={reload} />}
    </>
  );
}

function HoldList({ title, items, reload }: { title: string; items: Hold[]; reload: () => void }) {
  return (
    <Section title={title}>
      <ul class="cases">
        {items.map((hold) => (
          <li key={hold.id} class="case">
            <HoldCase hold={hold} reload={reload} />
          </li>
        ))}
      </ul>
    </Section>
  );
}

function HoldCase({ hold, reload }: { hold: Hold; reload: () => void }) {
  const mayPlace = useMay("placeHold");
  const path = `/holds/${encodeURIComponent(hold.id)}`;
  const choices = [
    ...(hold.may_approve
      ? [
          { words: "Approve the release", act: () => post(`${path}/approve`), isDanger: true },
          { words: "Deny", act: () => post(`${path}/deny`) },
        ]
      : []),
    ...(hold.state === "placed" && mayPlace ? [{ words: "Ask for its release", act: () => post(`${path}/release`) }] : []),
  ];
  return (
    <>
      <div class="case-head">
        {hold.state === "placed" && <Status tone="good">Holds</Status>}
        {hold.state === "release_requested" && (
          <Status tone="warn" icon="clock">
            Release waits for approval
          </Status>
        )}
        {hold.state === "released" && <Status tone="plain">Released</Status>}
        <span class="muted">{when(hold.placed_at)}</span>
      </div>
      <p class="quote">{hold.reason}</p>
      <p class="case-line">
        Covers {scopeWords(hold.scope)}; placed by <strong>{hold.by}</strong>
        {hold.release_requested_by && <>, release asked for by {hold.release_requested_by}</>}.
      </p>
      <Decide choices={choices} onDone={reload} />
    </>
  );
}
