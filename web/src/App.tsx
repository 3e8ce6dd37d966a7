/** Settings and person first; then the page that the address names. */

import { useEffect, useState } from "preact/hooks";

import type { Me, Settings } from "./app/api";
import { Problem, get, onSignedOut, rememberCsrf, remove } from "./app/client";
import { asProblem } from "./app/loading";
import { href, navigate, usePlace } from "./app/router";
import { SessionContext } from "./app/session";
import { ProblemNotice, Waiting } from "./parts/States";
import { Shell } from "./parts/Shell";
import { pageOf } from "./pages/routes";
import { SignIn } from "./pages/SignIn";

export function App() {
  const [settings, setSettings] = useState<Settings | null>(null);
  const [me, setMe] = useState<Me | null | undefined>(undefined);
  const [problem, setProblem] = useState<Problem | null>(null);

  const load = async (): Promise<void> => {
    setProblem(null);
    try {
      setSettings(await get<Settings>("/settings"));
      setMe(await findMe());
    } catch (error) {
      setProblem(asProblem(error));
    }
  };
  useEffect(() => {
    void load();
    return onSignedOut(() => setMe((old) => (old ? null : old)));
  }, []);

  if (problem) {
    return (
      <main class="alone">
        <ProblemNotice problem={problem} onRetry={() => void load()} />
      </main>
    );
  }
  if (!settings || me === undefined) {
    return (
      <main class="alone">
        <Waiting />
      </main>
    );
  }
  if (!me) return <SignIn settings={settings} onSignedIn={() => void load()} />;
  const signOut = (): void => {
    void remove("/session").finally(() => {
      rememberCsrf("");
      setMe(null);
      navigate(href("/"));
    });
  };
  return (
    <SessionContext.Provider value={{ me, settings, signOut }}>
      <Shell>
        <CurrentPage />
      </Shell>
    </SessionContext.Provider>
  );
}

async function findMe(): Promise<Me | null> {
  try {
    const me = await get<Me>("/me");
    rememberCsrf(me.csrf);
    return me;
  } catch (error) {
    if (error instanceof Problem && error.status === 401) return null;
    throw error;
  }
}

function CurrentPage() {
  const { path, query } = usePlace();
  return pageOf(path, query);
}
