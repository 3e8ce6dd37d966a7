/** The server's verification: it sees evidence, calldata and registered keys that a browser does not. It is asked for, and it is the server's word. */

import type { ServerVerdict } from "../app/api";
import { post } from "../app/client";
import { useLoading } from "../app/loading";
import { Section } from "./Page";
import { Loaded } from "./States";
import { Status } from "./Status";
import { Steps } from "./Steps";

export function ServerVerdictPanel({ index }: { index: number }) {
  const { loading, reload } = useLoading(`verify ${index}`, () => post<ServerVerdict>(`/records/${index}/verify`));
  return (
    <Section
      title="Verified by the server"
      note="Also holds evidence, signatures and the delivery against the chain. This part is the server's word."
    >
      <Loaded loading={loading} reload={reload}>
        {(verdict) => (
          <>
            <p class="verdict-line">
              <Status tone={verdict.holds ? "good" : "bad"}>{verdict.verdict}</Status>
            </p>
            <Steps steps={verdict.steps} label="Steps of the server's verification" />
            <Remarks remarks={verdict.remarks} />
          </>
        )}
      </Loaded>
    </Section>
  );
}

function Remarks({ remarks }: { remarks: string[] }) {
  if (!remarks.length) return null;
  return (
    <div class="remarks">
      <h3>Remarks</h3>
      <ul>
        {remarks.map((remark) => (
          <li key={remark}>{remark}</li>
        ))}
      </ul>
    </div>
  );
}
