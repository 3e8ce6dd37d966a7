/** Whom this browser trusts, and how the pages look. */

import { useState } from "preact/hooks";

import { useSession } from "../app/session";
import { type Theme, loadTheme, saveTheme } from "../app/theme";
import { NO_ANCHORS, type OwnAnchors, type Source, loadOwn, saveOwn, useTrust } from "../app/trust";
import { AreaField, TextField } from "../parts/Form";
import { Icon } from "../parts/Icon";
import { Page, Section } from "../parts/Page";
import { Status } from "../parts/Status";

export function SettingsPage() {
  return (
    <Page title="Settings">
      <TrustSection />
      <MemorySection />
      <Section title="Appearance">
        <ThemeChoice />
      </Section>
    </Page>
  );
}

const NAMES: [keyof OwnAnchors, string, string][] = [
  ["vkey", "The log's verifier key", "<name>+<key id>+<key>. Who signs checkpoints."],
  [
    "anchorKey",
    "Anchor key",
    "An address. Which anchors on chain are this log's: a log that could choose it could choose one without anchors.",
  ],
  ["auditAnchor", "AuditAnchor contract", "Its address on the chain."],
  ["chainId", "Chain id", "A number."],
  [
    "rpcUrl",
    "RPC endpoint",
    "Best your own node. It must answer browsers (CORS), and this server's policy lets yours reach only the endpoint it names and your own machine: bring a node from elsewhere to 127.0.0.1 by a tunnel.",
  ],
  ["explorer", "Block explorer", "Where links to transactions lead, with {hash} in its place. Nothing is verified there."],
];

function TrustSection() {
  const { settings } = useSession();
  const trust = useTrust(settings);
  const [draft, setDraft] = useState(loadOwn);
  const [message, setMessage] = useState<{ isGood: boolean; text: string } | null>(null);
  const offered: OwnAnchors = {
    vkey: settings.vkey,
    anchorKey: settings.anchor_key ?? "",
    auditAnchor: settings.audit_anchor ?? "",
    chainId: String(settings.chain_id),
    rpcUrl: settings.rpc_url,
    witnessPolicy: settings.witness_policy ?? "",
    explorer: "",
  };
  const set = (name: keyof OwnAnchors) => (value: string) => setDraft((old) => ({ ...old, [name]: value }));
  const keep = async (own: OwnAnchors): Promise<void> => {
    const problem = await findFault(own);
    if (!problem) {
      saveOwn(own);
      setDraft(own);
    }
    setMessage(problem ? { isGood: false, text: problem } : { isGood: true, text: "Kept in this browser." });
  };
  return (
    <Section
      title="Whom this browser trusts"
      note="Get these from a source that is not this server: the operator's contract with you, the deployment's own publication, your own node. What you leave empty is taken from the server, which then vouches for itself."
    >
      <div class="notice notice-plain">
        <Icon name="warning" />
        <div>
          <p>
            The program of these pages comes from the server too. Whoever must not trust it verifies with the command line or an evidence
            bundle, which do the same.
          </p>
        </div>
      </div>
      <form
        class="form"
        onSubmit={(event) => {
          event.preventDefault();
          void keep(draft);
        }}
      >
        {NAMES.map(([name, label, hint]) => (
          <TextField
            key={name}
            label={label}
            value={draft[name]}
            onInput={set(name)}
            isMono
            hint={<Hint text={hint} source={trust.sources[name]} offered={offered[name]} />}
          />
        ))}
        <AreaField
          label="Witness policy"
          value={draft.witnessPolicy}
          onInput={set("witnessPolicy")}
          isMono
          rows={4}
          hint={<Hint text="As c2sp.org/tlog-policy writes it: who must have cosigned." source={trust.sources.witnessPolicy} offered="" />}
        />
        <p role="status">{message && <Status tone={message.isGood ? "good" : "bad"}>{message.text}</Status>}</p>
        <div class="form-foot actions">
          <button type="submit" class="primary">
            Keep in this browser
          </button>
          <button type="button" onClick={() => void keep(NO_ANCHORS)}>
            Take all from the server
          </button>
        </div>
      </form>
    </Section>
  );
}

function Hint({ text, source, offered }: { text: string; source: Source; offered: string }) {
  const words: Record<Source, string> = { you: "Trusted: yours.", server: "Trusted: the server's.", nobody: "Not set." };
  return (
    <>
      {text} <strong>{words[source]}</strong>
      {offered && (
        <>
          {" "}
          The server says <code>{offered}</code>
        </>
      )}
    </>
  );
}

/** Why these cannot be used, null when they can. The verifier's own parsers say it. */
async function findFault(own: OwnAnchors): Promise<string | null> {
  const [{ parseVkey }, { parseHex }, { parsePolicy }] = await Promise.all([
    import("../verify/note"),
    import("../verify/bytes"),
    import("../verify/witness"),
  ]);
  try {
    if (own.vkey.trim()) parseVkey(own.vkey.trim());
    for (const name of ["anchorKey", "auditAnchor"] as const)
      if (own[name].trim()) parseHex(own[name].trim(), name === "anchorKey" ? "anchor key" : "AuditAnchor contract", 20);
    if (own.chainId.trim() && !/^[1-9][0-9]{0,15}$/.test(own.chainId.trim())) return "The chain id is a number.";
    if (own.explorer.trim() && !/^https?:\/\/.*\{hash\}/.test(own.explorer.trim()))
      return "The block explorer is an http or https address with {hash} in it.";
    if (own.rpcUrl.trim() && !/^https?:$/.test(new URL(own.rpcUrl.trim()).protocol)) return "The RPC endpoint is an http or https address.";
    if (own.witnessPolicy.trim()) parsePolicy(own.witnessPolicy);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return null;
}

function MemorySection() {
  const [isForgotten, setForgotten] = useState(false);
  const forget = (): void => {
    for (const name of Object.keys(localStorage)) if (name.startsWith("affidavit.seen.")) localStorage.removeItem(name);
    setForgotten(true);
  };
  return (
    <Section
      title="What this browser remembers"
      note="The largest checkpoint it has seen of each log. A log that shows less later, or something else, has gone back or forked, and is found out here."
    >
      <div class="actions">
        <button type="button" onClick={forget}>
          Forget the checkpoints seen
        </button>
        <span role="status">{isForgotten && <Status tone="plain">Forgotten</Status>}</span>
      </div>
    </Section>
  );
}

function ThemeChoice() {
  const [theme, setTheme] = useState<Theme>(loadTheme);
  const choices: [Theme, string][] = [
    ["system", "As the system"],
    ["light", "Light"],
    ["dark", "Dark"],
  ];
  return (
    <fieldset class="choices">
      <legend>Colours</legend>
      {choices.map(([value, words]) => (
        <label key={value}>
          <input
            type="radio"
            name="theme"
            value={value}
            checked={theme === value}
            onChange={() => {
              setTheme(value);
              saveTheme(value);
            }}
          />
          {words}
        </label>
      ))}
    </fieldset>
  );
}
