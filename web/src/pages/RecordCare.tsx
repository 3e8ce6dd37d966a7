/** What people did and may do with a record: content and its keeping, holds, reviews, disclosures. */

import { Fragment } from "preact";
import { useState } from "preact/hooks";

import type { RecordView } from "../app/api";
import { post } from "../app/client";
import { useAction } from "../app/loading";
import { href } from "../app/router";
import { useMay } from "../app/session";
import { when } from "../app/words";
import { ActionForm, AreaField, SelectField } from "../parts/Form";
import { Name } from "../parts/FieldGroups";
import { Section } from "../parts/Page";
import { Status } from "../parts/Status";
import { DisclosureState } from "./Disclosures";
import { ReviewOutcome } from "./Reviews";

export function RecordCare({ view, reload }: { view: RecordView; reload: () => void }) {
  return (
    <>
      <Content view={view} />
      <Reviews view={view} reload={reload} />
    </>
  );
}

function Content({ view }: { view: RecordView }) {
  const mayRequest = useMay("requestDisclosure");
  const mayHold = useMay("placeHold");
  const { content, retention, holds, disclosures } = view;
  const active = holds.filter((hold) => hold.state !== "released");
  const open = disclosures.find((one) => one.state === "approved" && one.may_open);
  return (
    <Section title="Content">
      <dl class="facts">
        <div>
          <dt>Kept apart</dt>
          <dd>
            <Kept view={view} />
          </dd>
        </div>
        <div>
          <dt>Retention</dt>
          <dd>
            {retention ? retention.class : "—"}
            {retention?.until && (
              <>
                , until <time class="nowrap">{when(retention.until).slice(0, 10)}</time>
              </>
            )}
          </dd>
        </div>
        <div>
          <dt>Legal hold</dt>
          <dd>
            {active.length ? (
              <>
                <Status tone="warn">Held</Status> {active.map((hold) => hold.reason).join("; ")}
              </>
            ) : (
              "None"
            )}
          </dd>
        </div>
        {disclosures.map((one) => (
          <div key={one.id}>
            <dt>Disclosure</dt>
            <dd>
              <DisclosureState disclosure={one} /> by {one.by}, {when(one.requested_at)}
            </dd>
          </div>
        ))}
      </dl>
      <div class="actions">
        {open && (
          <a class="button" href={href(`/disclosures/${encodeURIComponent(open.id)}/records/${view.index}`)}>
            Open the content
          </a>
        )}
        {content.state === "present" && mayRequest && !open && (
          <a class="button" href={href("/disclosures", { indices: view.index })}>
            Ask for disclosure
          </a>
        )}
        {mayHold && (
          <a class="button" href={href("/holds", { index: view.index })}>
            Place a hold
          </a>
        )}
      </div>
    </Section>
  );
}

function Kept({ view }: { view: RecordView }) {
  const { state, bodies, sealed } = view.content;
  if (state === "none") return <>This record has none.</>;
  if (state === "erased") return <Status tone="warn">Erased. Its proofs still hold.</Status>;
  return (
    <>
      Encrypted: {sealed ? "sealed fields" : "bodies"}
      {bodies.map((body, at) => (
        <Fragment key={body}>
          {at || sealed ? ", " : " "}
          <Name name={body} />
        </Fragment>
      ))}
    </>
  );
}

function Reviews({ view, reload }: { view: RecordView; reload: () => void }) {
  const mayReview = useMay("review");
  return (
    <Section title="Reviews">
      {view.reviews.length === 0 && <p class="muted">Nobody has signed this record off yet.</p>}
      <ul class="plain-list spaced">
        {view.reviews.map((review) => (
          <li key={`${review.time} ${review.by}`}>
            <ReviewOutcome outcome={review.outcome} /> by {review.by}, {when(review.time)}
            {review.record !== null && (
              <>
                , <a href={href(`/records/${review.record}`)}>record {review.record}</a>
              </>
            )}
            {review.note && <p class="quote">{review.note}</p>}
          </li>
        ))}
      </ul>
      {mayReview && <ReviewForm index={view.index} reload={reload} />}
    </Section>
  );
}

function ReviewForm({ index, reload }: { index: number; reload: () => void }) {
  const [outcome, setOutcome] = useState("accepted");
  const [note, setNote] = useState("");
  const action = useAction();
  const submit = async (): Promise<void> => {
    if (!(await action.run(() => post("/reviews", { index, outcome, note })))) return;
    setNote("");
    reload();
  };
  return (
    <details class="disclose-form">
      <summary>Sign off</summary>
      <ActionForm action={action} submit="Sign off" onSubmit={submit}>
        <SelectField
          label="Outcome"
          value={outcome}
          onInput={setOutcome}
          options={[
            ["accepted", "Accepted"],
            ["rejected", "Rejected"],
            ["escalated", "Escalated"],
          ]}
        />
        <AreaField label="Note" hint="Logged sealed: only its salted digest is public." value={note} onInput={setNote} />
      </ActionForm>
    </details>
  );
}
