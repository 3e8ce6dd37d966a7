/** Signing in: with a token from the office, or through the organisation's own provider. */

import { useState } from "preact/hooks";

import type { Settings } from "../app/api";
import { API, post } from "../app/client";
import { useAction } from "../app/loading";
import { usePlace } from "../app/router";
import { ActionForm, TextField } from "../parts/Form";
import { Icon } from "../parts/Icon";
import { Page } from "../parts/Page";
import { Mark } from "../parts/Shell";

export function SignIn({ settings, onSignedIn }: { settings: Settings; onSignedIn: () => void }) {
  const [token, setToken] = useState("");
  const action = useAction();
  const { query } = usePlace();
  const problem = query.get("problem");
  const submit = async (): Promise<void> => {
    if (await action.run(() => post("/session", { token: token.trim() }))) onSignedIn();
  };
  return (
    <main class="sign-in">
      <div class="card">
        <p class="brand">
          <Mark />
          <span>Affidavit</span>
        </p>
        <Page title="Sign in" lead={<>To the audit of the log {settings.origin}</>}>
          {problem && (
            <div class="notice notice-bad" role="alert">
              <Icon name="cross" />
              <div>
                <strong>Not signed in</strong>
                <p>{problem}</p>
              </div>
            </div>
          )}
          <ActionForm action={action} submit="Sign in" onSubmit={submit}>
            <TextField
              label="Access token"
              hint="Your office gave it to you once. It is exchanged for a session of this browser and is not kept here."
              type="password"
              value={token}
              onInput={setToken}
              isRequired
              isMono
              autoComplete="current-password"
            />
          </ActionForm>
          {settings.has_oidc && (
            <p class="or">
              <a class="button" href={`${API}/oidc/start`}>
                Sign in with your organisation
              </a>
            </p>
          )}
        </Page>
      </div>
    </main>
  );
}
