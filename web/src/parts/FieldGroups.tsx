/** A record's fields, in groups that an auditor looks for. Names stay as they are logged. */

import { Fragment } from "preact";

import type { FieldValue, Fields } from "../verify/canonical";
import { Digest } from "./Digest";

const GROUPS: [string, RegExp][] = [
  ["Stamped by the log", /^audit\.(record|kind|time|log\.time|writer|sequence\.writer|call\.previous_\w+)$/],
  [
    "Call",
    /^(audit\.(request_id|call_id|actor|caller(\..+)?|request\..+|tenant|system(\..+)?|purpose|risk_class|trace_id|span_id|intent\..+|outcome|verdict|latency_\w+|cost_\w+)|error\..+)$/,
  ],
  ["Model", /^(gen_ai\..+|audit\.(model_id|model\..+|runtime(\..+)?|prompt_template_digest|policy|guardrails|tool_names|reference_data))$/],
  [
    "Input and output",
    /^audit\.(input_digest|output_digest|claim_digest|signature_digest|signer|signers|evidence_digests|sealed|redactions|is_disclosed)$/,
  ],
  ["Chain", /^audit\.(chain_id|coprocessor|transaction|block_\w+|finality|gas_used|callback|log_id|anchor\..+|fee_\w+)$/],
];

export function FieldGroups({ fields }: { fields: Fields }) {
  const groups = group(fields);
  return (
    <>
      {groups.map(([title, entries]) => (
        <div key={title} class="field-group">
          <h3>{title}</h3>
          <dl class="fields">
            {entries.map(([name, value]) => (
              <div key={name}>
                <dt>
                  <Name name={name} />
                </dt>
                <dd>
                  <Value name={name} value={value} />
                </dd>
              </div>
            ))}
          </dl>
        </div>
      ))}
    </>
  );
}

function group(fields: Fields): [string, [string, FieldValue][]][] {
  const left = new Map(Object.entries(fields));
  const take = (form: RegExp): [string, FieldValue][] => {
    const taken = [...left].filter(([name]) => form.test(name));
    for (const [name] of taken) left.delete(name);
    return taken;
  };
  const [stamps, ...others] = GROUPS.map(([title, form]): [string, [string, FieldValue][]] => [title, take(form)]);
  const rest: [string, [string, FieldValue][]] = ["Other", [...left]];
  return [...others, rest, ...(stamps ? [stamps] : [])].filter(([, entries]) => entries.length);
}

/** A dotted name may break after its dots. */
export function Name({ name }: { name: string }) {
  const parts = name.split(".");
  return (
    <code>
      {parts.map((part, at) => (
        <Fragment key={at}>
          {part}
          {at < parts.length - 1 && (
            <>
              .<wbr />
            </>
          )}
        </Fragment>
      ))}
    </code>
  );
}

export function Value({ name, value }: { name: string; value: FieldValue }) {
  if (Array.isArray(value)) {
    if (!value.length) return <span class="muted">empty list</span>;
    return (
      <ul class="plain-list">
        {value.map((item, at) => (
          <li key={at}>
            <Value name={`${name} ${at}`} value={item} />
          </li>
        ))}
      </ul>
    );
  }
  if (typeof value === "boolean") return <>{value ? "yes" : "no"}</>;
  if (typeof value === "string" && /^0x[0-9a-fA-F]{40,}$/.test(value)) return <Digest value={value} label={name} />;
  return <span class="value">{String(value)}</span>;
}
