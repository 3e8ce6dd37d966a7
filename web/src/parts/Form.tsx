/** Fields with their labels, and a form that shows what was refused beside its button. */

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

import type { Action } from "../app/loading";
import { ProblemNotice } from "./States";

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  value: string;
  onInput: (value: string) => void;
  type?: "text" | "password" | "search" | "number" | "url" | "datetime-local" | "date";
  isRequired?: boolean;
  isMono?: boolean;
  placeholder?: string;
  autoComplete?: string;
  inputMode?: "text" | "numeric" | "url" | "search";
}

export function TextField({ label, hint, value, onInput, type = "text", isRequired, isMono, ...more }: FieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type={type as "text"} // the attribute's own type is a union that a variable does not fit
        value={value}
        required={isRequired}
        class={isMono ? "mono" : undefined}
        spellcheck={false}
        aria-describedby={hint ? `${id}-hint` : undefined}
        onInput={(event) => onInput(event.currentTarget.value)}
        {...more}
      />
      {hint && (
        <p id={`${id}-hint`} class="hint">
          {hint}
        </p>
      )}
    </div>
  );
}

export function AreaField({ label, hint, value, onInput, isRequired, isMono, rows = 3 }: FieldProps & { rows?: number }) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <textarea
        id={id}
        rows={rows}
        value={value}
        required={isRequired}
        class={isMono ? "mono" : undefined}
        aria-describedby={hint ? `${id}-hint` : undefined}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
      {hint && (
        <p id={`${id}-hint`} class="hint">
          {hint}
        </p>
      )}
    </div>
  );
}

export function SelectField({
  label,
  value,
  onInput,
  options,
}: {
  label: string;
  value: string;
  onInput: (value: string) => void;
  options: [string, string][];
}) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => onInput(event.currentTarget.value)}>
        {options.map(([key, words]) => (
          <option key={key} value={key}>
            {words}
          </option>
        ))}
      </select>
    </div>
  );
}

interface FormProps {
  action: Action;
  submit: string;
  onSubmit: () => Promise<unknown>;
  isDanger?: boolean;
  children: ComponentChildren;
}

export function ActionForm({ action, submit, onSubmit, isDanger, children }: FormProps) {
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        void onSubmit();
      }}
    >
      {children}
      {action.problem && <ProblemNotice problem={action.problem} />}
      <div class="form-foot">
        <button type="submit" class={isDanger ? "danger" : "primary"} disabled={action.isRunning}>
          {action.isRunning ? "Working…" : submit}
        </button>
      </div>
    </form>
  );
}
