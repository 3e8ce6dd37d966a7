/** A long digest in one line: its middle left out for the eye, whole for the clipboard, for search and for screen readers. */

import { useState } from "preact/hooks";

import { Icon } from "./Icon";

export function Digest({ value, label = "digest" }: { value: string; label?: string }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(value);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <span class="digest">
      <code title={value}>
        <Shortened value={value} />
      </code>
      <button type="button" class="copy" onClick={() => void copy()} aria-label={`Copy ${label}`} title={`Copy ${label}`}>
        <Icon name={isCopied ? "check" : "copy"} />
      </button>
      <span class="hidden" role="status">
        {isCopied ? "Copied" : ""}
      </span>
    </span>
  );
}

/** The first eight and last six characters; the rest is there, but not seen. */
export function Shortened({ value }: { value: string }) {
  if (value.length <= 18) return <>{value}</>;
  return (
    <>
      {value.slice(0, 8)}
      <span class="hidden">{value.slice(8, -6)}</span>
      <span aria-hidden="true">…</span>
      {value.slice(-6)}
    </>
  );
}

/** A text in which long digests are shortened. */
export function ShortenedText({ text }: { text: string }) {
  return (
    <>
      {text.split(/(0x[0-9a-fA-F]{32,}|\b[0-9a-f]{64}\b)/).map((part, at) =>
        at % 2 ? (
          <code key={at} title={part}>
            <Shortened value={part} />
          </code>
        ) : (
          part
        ),
      )}
    </>
  );
}
