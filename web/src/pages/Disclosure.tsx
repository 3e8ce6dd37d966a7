/** The opened content of one record. Asking for it writes the log of readers, so it is asked for by a button and never by a page's loading. */

import { useState } from "preact/hooks";

import type { Disclosure, Items, OpenContent, RecordView, SealedField } from "../app/api";
import { get } from "../app/client";
import { useAction, useLoading } from "../app/loading";
import { href } from "../app/router";
import { ShortenedText } from "../parts/Digest";
import { Name, Value } from "../parts/FieldGroups";
import { Icon } from "../parts/Icon";
import { Page, Section } from "../parts/Page";
import { Loaded, Permitted, ProblemNotice } from "../parts/States";
import { Status } from "../parts/Status";
import { TimeLeft, useSecondsLeft } from "../parts/TimeLeft";
import { decodeBase64, parseHex } from "../verify/bytes";
import type { Fields } from "../verify/canonical";
import { parseRecord } from "../verify/record";

export function DisclosurePage({ id, index }: { id: string; index: number }) {
  return (
    <Permitted right="disclosures">
      <Content id={id} index={index} />
    </Permitted>
  );
}

function Content({ id, index }: { id: string; index: number }) {
  const { loading, reload } = useLoading(`disclosure ${id}`, (signal) => get<Items<Disclosure>>("/disclosures", {}, signal));
  return (
    <Page title={`Content of record ${index}`} lead={<a href={href(`/records/${index}`)}>To the record and its verification</a>}>
      <Loaded loading={loading} reload={reload}>
        {({ items }) => <Opening disclosure={items.find((one) => one.id === id) ?? null} id={id} index={index} />}
      </Loaded>
    </Page>
  );
}

interface Read {
  content: OpenContent;
  checks: Checked[];
}

interface Checked {
  name: string;
  holds: boolean;
  detail: string;
}

function Opening({ disclosure, id, index }: { disclosure: Disclosure | null; id: string; index: number }) {
  const [read, setRead] = useState<Read | null>(null);
  const action = useAction();
  const left = useSecondsLeft(disclosure?.expires_at ?? null);
  const isOver = left !== null && left <= 0;
  const open = (): Promise<boolean> =>
    action.run(async () => {
      const content = await get<OpenContent>(`/disclosures/${encodeURIComponent(id)}/records/${index}`);
      const record = await get<RecordView>(`/records/${index}`);
      const { checkContent } = await import("../verify/content");
      setRead({ content, checks: checkContent(readFields(record), content) });
    });
  return (
    <>
      <div class="notice notice-warn">
        <Icon name="warning" />
        <div>
          <strong>Reading is logged</strong>
          <p>
            The log says who read which record, under which disclosure, before the content leaves.{" "}
            {disclosure && <TimeLeft until={disclosure.expires_at} />}
          </p>
          {!read && !isOver && (
            <button type="button" class="primary" disabled={action.isRunning} onClick={() => void open()}>
              {action.isRunning ? "Opening…" : "Read the content"}
            </button>
          )}
        </div>
      </div>
      {action.problem && <ProblemNotice problem={action.problem} />}
      {isOver && <p class="state">This disclosure's time is over; the content is no longer shown.</p>}
      {read && !isOver && <Shown read={read} />}
    </>
  );
}

function readFields(record: RecordView): Fields {
  return parseRecord(decodeBase64(record.record_base64, "record"));
}

function Shown({ read: { content, checks } }: { read: Read }) {
  const checkOf = (name: string): Checked | undefined => checks.find((check) => check.name === name);
  if (!content.sealed.length && !content.bodies.length) return <p class="state">This record has no content.</p>;
  return (
    <>
      {content.sealed.length > 0 && (
        <Section title="Sealed fields" note="Each is opened against the commitment in the record, by this browser.">
          <dl class="fields">
            {content.sealed.map((field) => (
              <div key={field.name}>
                <dt>
                  <Name name={field.name} />
                </dt>
                <dd>
                  <Sealed field={field} />
                  <CheckLine check={checkOf(field.name)} />
                </dd>
              </div>
            ))}
          </dl>
        </Section>
      )}
      {content.bodies.map((body) => (
        <Section key={body.name} title={body.name} actions={<CheckLine check={checkOf(`body ${body.name}`)} />}>
          <pre class="body" tabIndex={0} aria-label={body.name}>
            {body.text ?? hexLines(body.hex)}
          </pre>
          <p class="note">{parseHex(body.hex, "body").length} bytes</p>
        </Section>
      ))}
    </>
  );
}

function Sealed({ field }: { field: SealedField }) {
  return <Value name={field.name} value={field.value} />;
}

function CheckLine({ check }: { check: Checked | undefined }) {
  if (!check) return null;
  return (
    <span class="check-line" title={check.detail}>
      <Status tone={check.holds ? "good" : "bad"}>
        <ShortenedText text={check.holds ? check.detail : `Does not hold: ${check.detail}`} />
      </Status>
    </span>
  );
}

function hexLines(hex: string): string {
  return (hex.slice(2).match(/.{1,64}/g) ?? []).map((line) => line.replace(/(.{8})/g, "$1 ").trim()).join("\n");
}
