/** The browser's own verification as a panel: one sentence, whom it trusts, every step. */

import { describeTrust } from "../app/trust";
import { href } from "../app/router";
import { Steps } from "./Steps";
import { Status } from "./Status";
import { type Verification, summarise } from "./useVerification";

interface Words {
  passed: string;
  failed: string;
}

export function OwnVerdict({ verification, title, words }: { verification: Verification; title: string; words: Words }) {
  const summary = summarise(verification);
  const failed = verification.steps.find((step) => step.status === "failed");
  return (
    <section class={`section verdict verdict-${summary}`} data-verdict={summary}>
      <div class="section-head">
        <h2>{title}</h2>
        <button type="button" class="quiet" onClick={verification.again} disabled={summary === "running"}>
          Verify again
        </button>
      </div>
      <p class="verdict-line" role="status">
        {summary === "running" && (
          <Status tone="plain" icon="clock">
            Verifying…
          </Status>
        )}
        {summary === "passed" && <Status tone="good">{words.passed}</Status>}
        {summary === "failed" && (
          <Status tone="bad">
            {words.failed}
            {failed && (
              <>
                {" "}
                Step {failed.number}, {failed.name.toLowerCase()}, does not hold.
              </>
            )}
          </Status>
        )}
        {summary === "unreachable" && (
          <Status tone="warn" icon="question">
            Not everything could be checked{verification.fault ? `: ${verification.fault}` : "."}
          </Status>
        )}
      </p>
      <Steps steps={verification.steps} label={title} />
      <p class="note">
        {describeTrust(verification.trust)} <a href={href("/settings")}>Trust others</a>
      </p>
    </section>
  );
}
