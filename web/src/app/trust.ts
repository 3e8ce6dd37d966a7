/**
 * Whom the browser trusts: the log's key, the anchor key, the contract, the chain and the endpoint it is read from.
 *
 * The server offers its own. An auditor enters those got from elsewhere; they stay in this browser and win.
 */

import { useEffect, useState } from "preact/hooks";

import { filesAt } from "../verify/log";
import { memoryIn } from "../verify/memory";
import type { Seams, TrustAnchors } from "../verify/steps";
import type { Settings } from "./api";

export interface OwnAnchors {
  vkey: string;
  rpcUrl: string;
  chainId: string;
  auditAnchor: string;
  anchorKey: string;
  witnessPolicy: string;
  /** Where the auditor looks transactions up, with {hash} in its place. Nothing is verified there. */
  explorer: string;
}

export const NO_ANCHORS: OwnAnchors = {
  vkey: "",
  rpcUrl: "",
  chainId: "",
  auditAnchor: "",
  anchorKey: "",
  witnessPolicy: "",
  explorer: "",
};

export type Source = "you" | "server" | "nobody";

export interface Trust {
  anchors: TrustAnchors;
  rpcUrl: string | null;
  explorer: string | null;
  sources: Record<keyof OwnAnchors, Source>;
}

const KEY = "affidavit.trust";
const changed = new EventTarget();

export function loadOwn(): OwnAnchors {
  try {
    return { ...NO_ANCHORS, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<OwnAnchors>) };
  } catch {
    return NO_ANCHORS;
  }
}

export function saveOwn(own: OwnAnchors): void {
  localStorage.setItem(KEY, JSON.stringify(own));
  changed.dispatchEvent(new Event("change"));
}

/** The auditor's own where given, the server's otherwise. */
export function trustOf(settings: Settings, own: OwnAnchors): Trust {
  const sources = {} as Record<keyof OwnAnchors, Source>;
  const pick = (name: keyof OwnAnchors, offered: string | null): string | null => {
    const mine = own[name].trim();
    sources[name] = mine ? "you" : offered ? "server" : "nobody";
    return mine || offered || null;
  };
  const chainId = pick("chainId", String(settings.chain_id));
  const anchors: TrustAnchors = {
    vkey: pick("vkey", settings.vkey) ?? "",
    chainId: chainId === null ? null : Number(chainId),
    auditAnchor: pick("auditAnchor", settings.audit_anchor),
    anchorKey: pick("anchorKey", settings.anchor_key),
    witnessPolicy: pick("witnessPolicy", settings.witness_policy),
  };
  return { anchors, rpcUrl: pick("rpcUrl", settings.rpc_url), explorer: pick("explorer", null), sources };
}

export function useTrust(settings: Settings): Trust {
  const [own, setOwn] = useState(loadOwn);
  useEffect(() => {
    const update = (): void => setOwn(loadOwn());
    changed.addEventListener("change", update);
    return () => changed.removeEventListener("change", update);
  }, []);
  return trustOf(settings, own);
}

/** The chain's client is large and comes only when it is needed. */
export async function seamsOf(settings: Settings, trust: Trust): Promise<Seams> {
  const { chainAt } = await import("../verify/chain");
  return {
    files: filesAt(settings.log_base),
    chain: trust.rpcUrl ? chainAt(trust.rpcUrl) : null,
    memory: memoryIn(localStorage),
  };
}

/** Plain words for what stands behind a verification. */
export function describeTrust(trust: Trust): string {
  const key = trust.sources.vkey === "you" ? "the log key you entered" : "the log key that this server names";
  const chain = trust.rpcUrl
    ? trust.sources.rpcUrl === "you"
      ? "the chain as your own endpoint shows it"
      : "the chain as this server's endpoint shows it"
    : "no chain";
  return `Trusted: ${key}, and ${chain}.`;
}
