/**
 * One record. Its fields are read by this browser from the very bytes that it verifies, never from what the server says they are.
 */

import { useMemo } from "preact/hooks";

import type { CallPlace, RecordView } from "../app/api";
import { fileUrl, get } from "../app/client";
import { useLoading } from "../app/loading";
import { href } from "../app/router";
import { useMay, useSession } from "../app/session";
import { useTrust } from "../app/trust";
import { KIND_WORDS, when } from "../app/words";
import { Digest } from "../parts/Digest";
import { FieldGroups } from "../parts/FieldGroups";
import { OwnVerdict } from "../parts/OwnVerdict";
import { Page, Section } from "../parts/Page";
import { ServerVerdictPanel } from "../parts/ServerVerdict";
import { Loaded, Permitted } from "../parts/States";
import { useVerification } from "../parts/useVerification";
import { decodeBase64, encodeUtf8, toHex } from "../verify/bytes";
import type { Fields } from "../verify/canonical";
import { parseRecord } from "../verify/record";
import { Rejected } from "../verify/rejected";
import type { Shown } from "../verify/steps";
import { hashLeaf } from "../verify/tree";
import { RecordCare } from "./RecordCare";

export function RecordPage({ index }: { index: number }) {
  return (
    <Permitted right="records">
      <Content index={index} />
    </Permitted>
  );
}

function Content({ index }: { index: number }) {
  const { loading, reload } = useLoading(`record ${index}`, (signal) => get<RecordView>(`/records/${index}`, {}, signal));
  const kind = loading.state !== "failed" && loading.value ? readOwn(loading.value).fields["audit.kind"] : undefined;
  const title = kind ? `Record ${index} · ${KIND_WORDS[String(kind)] ?? String(kind)}` : `Record ${index}`;
  return (
    <Page title={title} actions={<Neighbours index={index} />}>
      <Loaded loading={loading} reload={reload}>
        {(view) => <Shows view={view} reload={reload} />}
      </Loaded>
    </Page>
  );
}

function Neighbours({ index }: { index: number }) {
  return (
    <nav aria-label="Neighbouring records" class="neighbours">
      {index > 0 && (
        <a class="button" href={href(`/records/${index - 1}`)}>
          ← {index - 1}
        </a>
      )}
      <a class="button" href={href(`/records/${index + 1}`)}>
        {index + 1} →
      </a>
    </nav>
  );
}

interface Own {
  bytes: Uint8Array;
  fields: Fields;
  /** Why the bytes could not be read, if so. */
  refusal: string | null;
}

/** The record as its own bytes say it. */
function readOwn(view: RecordView): Own {
  try {
    const bytes = decodeBase64(view.record_base64, "record");
    return { bytes, fields: parseRecord(bytes), refusal: null };
  } catch (error) {
    if (error instanceof Rejected) return { bytes: new Uint8Array(), fields: {}, refusal: error.message };
    throw error;
  }
}

function Shows({ view, reload }: { view: RecordView; reload: () => void }) {
  const own = useMemo(() => readOwn(view), [view]);
  const shown: Shown = {
    index: BigInt(view.index),
    record: own.bytes,
    proof: encodeUtf8(view.proof),
    call: view.call.map((place) => BigInt(place.index)),
  };
  const verification = useVerification(`${view.index} ${view.record_base64} ${view.proof}`, shown);
  return (
    <>
      <p class="record-line">
        Written by <strong>{String(own.fields["audit.writer"] ?? "—")}</strong> at{" "}
        <time>{when(String(own.fields["audit.time"] ?? ""))}</time> UTC. Leaf{" "}
        <Digest value={toHex(hashLeaf(own.bytes))} label="leaf hash" />
      </p>
      <div class="columns">
        <OwnVerdict
          verification={verification}
          title="Verified by this browser"
          words={{ passed: "This record is in the log, unchanged.", failed: "Do not rely on this record." }}
        />
        <ServerVerdictPanel index={view.index} />
      </div>
      <div class="columns wide-left">
        <div>
          <Section title="Fields" note="Read from the bytes this browser verifies.">
            {own.refusal ? <p class="bad-text">{own.refusal}</p> : <FieldGroups fields={own.fields} />}
          </Section>
        </div>
        <div>
          <Timeline call={view.call} current={view.index} />
          <ChainLinks fields={own.fields} />
          <RecordCare view={view} reload={reload} />
          <Files view={view} fields={own.fields} />
        </div>
      </div>
    </>
  );
}

function Timeline({ call, current }: { call: CallPlace[]; current: number }) {
  if (!call.length) return null;
  const start = Date.parse(call[0]?.time ?? "");
  return (
    <Section title="The call" note="As the server lists it. Step 5 holds places and links.">
      <ol class="timeline">
        {call.map((place) => (
          <li key={place.index} class={place.index === current ? "current" : undefined}>
            <span class="timeline-main">
              {place.index === current ? (
                <strong aria-current="true">{KIND_WORDS[place.kind] ?? place.kind}</strong>
              ) : (
                <a href={href(`/records/${place.index}`)}>{KIND_WORDS[place.kind] ?? place.kind}</a>
              )}{" "}
              <span class="muted">record {place.index}</span>
            </span>
            <span class="muted">
              {place.writer}, {when(place.time).slice(11)} <span class="since">{since(start, place.time)}</span>
            </span>
          </li>
        ))}
      </ol>
    </Section>
  );
}

function since(start: number, time: string): string {
  const difference = (Date.parse(time) - start) / 1000;
  return Number.isFinite(difference) && difference > 0 ? `+${difference.toFixed(difference < 10 ? 3 : 0)} s` : "";
}

function ChainLinks({ fields }: { fields: Fields }) {
  const transaction = fields["audit.transaction"];
  const { settings } = useSession();
  const trust = useTrust(settings);
  return (
    <Section title="On the chain">
      <dl class="facts">
        <div>
          <dt>Transaction</dt>
          <dd>
            {typeof transaction === "string" ? (
              <>
                <Digest value={transaction} label="transaction" />
                <br />
                {trust.explorer && (
                  <>
                    <a href={trust.explorer.replace("{hash}", transaction)} target="_blank" rel="noreferrer">
                      Block explorer
                    </a>
                    ,{" "}
                  </>
                )}
                <a href={href("/records", { transaction })}>records with it</a>
              </>
            ) : (
              <span class="muted">This record names none.</span>
            )}
          </dd>
        </div>
        <div>
          <dt>Anchors in</dt>
          <dd>
            {trust.anchors.auditAnchor ? (
              <Digest value={trust.anchors.auditAnchor} label="AuditAnchor address" />
            ) : (
              <span class="muted">no contract known</span>
            )}
          </dd>
        </div>
        {settings.log_id && (
          <div>
            <dt>Log id</dt>
            <dd>
              <Digest value={settings.log_id} label="log id" />
            </dd>
          </div>
        )}
        <div>
          <dt>Chain</dt>
          <dd>
            {trust.anchors.chainId ?? "—"}, <a href={href("/records", { kind: "anchor" })}>all anchors</a>
          </dd>
        </div>
      </dl>
    </Section>
  );
}

/** The record and its proof as files, made here from what was verified; the bundle comes from the server. */
function Files({ view, fields }: { view: RecordView; fields: Fields }) {
  const mayExport = useMay("export");
  const callId = fields["audit.request_id"] ?? fields["audit.call_id"];
  const scope = typeof callId === "string" ? { call_id: callId } : { index: view.index };
  return (
    <Section title="Take it away">
      <ul class="plain-list">
        <li>
          <button type="button" class="link" onClick={() => save(`${view.index}.tlog-proof`, view.proof)}>
            Proof file
          </button>{" "}
          <span class="muted">verifies offline, with any tlog-proof tool</span>
        </li>
        {mayExport && (
          <li>
            <a href={fileUrl("/bundle", scope)} download>
              Evidence bundle
            </a>{" "}
            <span class="muted">with a script that verifies it</span>
          </li>
        )}
      </ul>
    </Section>
  );
}

function save(name: string, text: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
