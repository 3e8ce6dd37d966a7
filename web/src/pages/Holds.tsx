/** Legal holds: while one stands, nothing it covers is erased or pruned. Releasing it takes two people. */

import { useState } from "preact/hooks";

import type { Hold, Items } from "../app/api";
import { get, post } from "../app/client";
import { useAction, useLoading } from "../app/loading";
import { href, navigate } from "../app/router";
import { useMay } from "../app/session";
import { scopeWords, when } from "../app/words";
import { Decide } from "../parts/Decide";
import { ShortenedText } from "../parts/Digest";
import { ActionForm, AreaField, SelectField, TextField } from "../parts/Form";
import { Older } from "../parts/Older";
import { Page, Section } from "../parts/Page";
import { Empty, Loaded, Permitted } from "../parts/States";
import { Status } from "../parts/Status";

export function HoldsPage({ query }: { query: URLSearchParams }) {
  return (
    <Permitted right="holds">
      <Content index={query.get("index") ?? ""} before={query.get("before") ?? ""} />
    </Permitted>
  );
}

function Content({ index, before }: { index: string; before: string }) {
  const { loading, reload } = useLoading(`holds ${before}`, (signal) => get<Items<Hold>>("/holds", { before }, signal));
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
        {({ items, next }) => (
          <>
            {items.length ? <Lists items={items} reload={reload} /> : <Empty>Nothing is held.</Empty>}
            <Older path="/holds" next={next} before={before} />
          </>
        )}
      </Loaded>
    </Page>
  );
}

function PlaceForm({ index: given, onDone }: { index: string; onDone: () => void }) {
  const [kind, setKind] = useState<ScopeKind>("index");
  const [first, setFirst] = useState(given);
  const [second, setSecond] = useState("");
  const [reason, setReason] = useState("");
  const action = useAction();
  const submit = async (): Promise<void> => {
    if (await action.run(async () => post("/holds", { scope: scopeOf(kind, first.trim(), second.trim()), reason }))) onDone();
  };
  const [one, other] = SCOPE_FIELDS[kind];
  return (
    <Section title="Place a hold">
      <ActionForm action={action} submit="Place the hold" onSubmit={submit}>
        <div class="form-row">
          <SelectField label="Covers" value={kind} onInput={(value) => setKind(value as ScopeKind)} options={SCOPES} />
          <TextField label={one} value={first} onInput={setFirst} isRequired isMono />
          {other && <TextField label={other} value={second} onInput={setSecond} isRequired isMono />}
        </div>
        <AreaField label="Reason" hint="The log keeps it sealed." value={reason} onInput={setReason} isRequired />
      </ActionForm>
    </Section>
  );
}

type ScopeKind = "index" | "range" | "call_id" | "person";

const SCOPES: [ScopeKind, string][] = [
  ["index", "One record"],
  ["range", "A range of records"],
  ["call_id", "A call"],
  ["person", "Everything about a person"],
];

const SCOPE_FIELDS: Record<ScopeKind, [string, string?]> = {
  index: ["Record"],
  range: ["First record", "Last record"],
  call_id: ["Call id (0x…)"],
  person: ["Writer who recorded the person", "Reference, as that writer names the person"],
};

function scopeOf(kind: ScopeKind, first: string, second: string): Record<string, unknown> {
  if (kind === "call_id") return { call_id: first };
  if (kind === "person") return { writer: first, subject_reference: second };
  const numbers = [first, ...(kind === "range" ? [second] : [])].map((text) => (/^[0-9]{1,15}$/.test(text) ? Number(text) : NaN));
  if (numbers.some(Number.isNaN)) throw new Error("A record is named by its number.");
  return kind === "index" ? { index: numbers[0] } : { from: numbers[0], to: numbers[1] };
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
    ...(hold.state === "active" && mayPlace ? [{ words: "Ask for its release", act: () => post(`${path}/release`) }] : []),
  ];
  return (
    <>
      <div class="case-head">
        {hold.state === "active" && <Status tone="good">Holds</Status>}
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
        Covers <ShortenedText text={scopeWords(hold.scope)} />; placed by <strong>{hold.by}</strong>
        {hold.release_requested_by && <>, release asked for by {hold.release_requested_by}</>}.
      </p>
      <Decide choices={choices} onDone={reload} />
    </>
  );
}
