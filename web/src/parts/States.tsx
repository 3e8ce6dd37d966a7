/** What a page shows while it waits, when there is nothing, when it was refused, and when the person may not see it. */

import type { ComponentChildren } from "preact";

import type { Problem } from "../app/client";
import type { Loading } from "../app/loading";
import { RIGHT_WORDS, ROLE_WORDS, type RightName } from "../app/rights";
import { mayDo, useSession } from "../app/session";
import { Icon } from "./Icon";
import { Page } from "./Page";

export function Waiting({ what = "Loading" }: { what?: string }) {
  return (
    <p class="state" role="status">
      <span class="spinner" aria-hidden="true" /> {what}…
    </p>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="state empty">{children}</p>;
}

const STATUS_WORDS: Record<number, string> = {
  0: "No answer",
  400: "The request was not understood",
  401: "You are not signed in",
  403: "Your role does not allow this",
  404: "There is nothing here",
  409: "That does not fit the present state",
  410: "Its time is over",
  413: "Too large",
  422: "Not accepted",
  429: "Too many requests",
  500: "The server failed",
  503: "Something behind the server does not answer",
};

export function ProblemNotice({ problem, onRetry }: { problem: Problem; onRetry?: () => void }) {
  return (
    <div class="notice notice-bad" role="alert">
      <Icon name="cross" />
      <div>
        <strong>{STATUS_WORDS[problem.status] ?? problem.title}</strong>
        {problem.message && <p>{problem.message}</p>}
        {onRetry && (
          <button type="button" class="quiet" onClick={onRetry}>
            Try again
          </button>
        )}
      </div>
    </div>
  );
}

/** The value when it is there, and otherwise why not. While a new value loads the old one stays, dimmed. */
export function Loaded<T>({
  loading,
  reload,
  children,
}: {
  loading: Loading<T>;
  reload?: () => void;
  children: (value: T) => ComponentChildren;
}) {
  if (loading.state === "failed") return <ProblemNotice problem={loading.problem} {...(reload ? { onRetry: reload } : {})} />;
  if (loading.value === null) return loading.state === "ready" ? null : <Waiting />;
  return (
    <div class={loading.state === "loading" ? "stale" : undefined} aria-busy={loading.state === "loading"}>
      {children(loading.value)}
    </div>
  );
}

/** Shows its children to whom has the right, and says what is missing to all others. */
export function Permitted({ right, children }: { right: RightName; children: ComponentChildren }) {
  const { me } = useSession();
  if (mayDo(me, right)) return <>{children}</>;
  const roles = me.roles.map((role) => ROLE_WORDS[role] ?? role).join(", ") || "no role";
  return (
    <Page title="Not for your role">
      <div class="notice notice-plain">
        <Icon name="dash" />
        <div>
          <p>
            This page needs the right to {RIGHT_WORDS[right]}. You are signed in as {me.name}, {roles}.
          </p>
        </div>
      </div>
    </Page>
  );
}
