/** Buttons of the second person. They are shown only to whom the server says may decide. */

import { type Action, useAction } from "../app/loading";
import { ProblemNotice } from "./States";

export interface Choice {
  words: string;
  act: () => Promise<unknown>;
  isDanger?: boolean;
}

export function Decide({ choices, onDone }: { choices: Choice[]; onDone: () => void }) {
  const action: Action = useAction();
  if (!choices.length) return null;
  const take = async (choice: Choice): Promise<void> => {
    if (await action.run(choice.act)) onDone();
  };
  return (
    <div class="decide">
      <div class="actions">
        {choices.map((choice) => (
          <button
            key={choice.words}
            type="button"
            class={choice.isDanger ? "danger" : undefined}
            disabled={action.isRunning}
            onClick={() => void take(choice)}
          >
            {choice.words}
          </button>
        ))}
      </div>
      {action.problem && <ProblemNotice problem={action.problem} />}
    </div>
  );
}
