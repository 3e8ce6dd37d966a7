/** Who is signed in, and what they may do. */

import { createContext } from "preact";
import { useContext } from "preact/hooks";

import type { Me, Settings } from "./api";
import { RIGHT, type RightName } from "./rights";

export interface Session {
  me: Me;
  settings: Settings;
  signOut(): void;
}

export const SessionContext = createContext<Session | null>(null);

/** Inside the signed-in pages there always is one. */
export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error("no session outside the signed-in pages");
  return session;
}

export function mayDo(me: Me, right: RightName): boolean {
  return me.rights.includes(RIGHT[right]);
}

export function useMay(right: RightName): boolean {
  return mayDo(useSession().me, right);
}
