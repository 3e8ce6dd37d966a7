/** A verification, step by step, in words. */

import { ShortenedText } from "./Digest";
import { Status, type Tone } from "./Status";
import type { IconName } from "./Icon";

export interface StepLine {
  number: number;
  name: string;
  status: string;
  detail: string;
}

const WORDS: Record<string, [Tone, IconName, string]> = {
  passed: ["good", "check", "Holds"],
  absent: ["plain", "dash", "Nothing to check"],
  failed: ["bad", "cross", "Does not hold"],
  unreachable: ["warn", "question", "Could not be checked"],
  skipped: ["plain", "dash", "Not reached"],
  waiting: ["plain", "clock", "Waiting"],
};

export function Steps({ steps, label }: { steps: StepLine[]; label: string }) {
  return (
    <ol class="steps" aria-label={label}>
      {steps.map((step) => {
        const [tone, icon, words] = WORDS[step.status] ?? ["plain", "dash", step.status];
        return (
          <li key={step.number} class={`step step-${step.status}`} data-step={step.number} data-status={step.status}>
            <span class="step-number" aria-hidden="true">
              {step.number}
            </span>
            <div class="step-body">
              <div class="step-line">
                <span class="step-name">{capital(step.name)}</span>
                <Status tone={tone} icon={icon}>
                  {words}
                </Status>
              </div>
              {step.detail && (
                <p class="step-detail">
                  <ShortenedText text={step.detail} />
                </p>
              )}
            </div>
          </li>
        );
      })}
    </ol>
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
