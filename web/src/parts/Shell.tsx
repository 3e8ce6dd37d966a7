/** What stands around every page: skip link, name of the log, navigation, who is signed in. */

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";

import { type RightName, ROLE_WORDS } from "../app/rights";
import { href, usePlace } from "../app/router";
import { mayDo, useSession } from "../app/session";
import { Icon } from "./Icon";

interface Entry {
  path: string;
  name: string;
  right?: RightName;
}

const NAVIGATION: { title: string; entries: Entry[] }[] = [
  {
    title: "Records",
    entries: [
      { path: "/", name: "Overview", right: "records" },
      { path: "/records", name: "Search", right: "records" },
      { path: "/completeness", name: "Completeness", right: "records" },
    ],
  },
  {
    title: "Review",
    entries: [
      { path: "/samples", name: "Samples", right: "reviews" },
      { path: "/reviews", name: "Reviews", right: "reviews" },
      { path: "/export", name: "Export", right: "export" },
    ],
  },
  {
    title: "Content",
    entries: [
      { path: "/disclosures", name: "Disclosures", right: "disclosures" },
      { path: "/holds", name: "Legal holds", right: "holds" },
      { path: "/erasures", name: "Erasures", right: "erasures" },
      { path: "/readers", name: "Log of readers", right: "readers" },
    ],
  },
  {
    title: "System",
    entries: [
      { path: "/operations", name: "Operations", right: "operations" },
      { path: "/settings", name: "Settings" },
    ],
  },
];

export function Shell({ children }: { children: ComponentChildren }) {
  const { path } = usePlace();
  const [isOpen, setOpen] = useState(false);
  useEffect(() => setOpen(false), [path]);
  const { settings } = useSession();
  return (
    <div class="shell">
      <a class="skip" href="#content">
        Skip to content
      </a>
      <header class="bar">
        <a class="brand" href={href("/")}>
          <Mark />
          <span>Affidavit</span>
        </a>
        <button type="button" class="menu-button quiet" aria-expanded={isOpen} aria-controls="navigation" onClick={() => setOpen(!isOpen)}>
          <Icon name="menu" /> Menu
        </button>
      </header>
      <aside id="navigation" class={isOpen ? "side open" : "side"} aria-label="Log, pages and person">
        <p class="origin" title="The log that these pages show">
          {settings.origin}
        </p>
        <Navigation path={path} />
        <SignedIn />
      </aside>
      <main id="content" tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}

function Navigation({ path }: { path: string }) {
  const { me } = useSession();
  return (
    <nav aria-label="Pages">
      {NAVIGATION.map((group) => {
        const entries = group.entries.filter((entry) => !entry.right || mayDo(me, entry.right));
        if (!entries.length) return null;
        return (
          <div key={group.title} class="nav-group">
            <p class="nav-title">{group.title}</p>
            <ul>
              {entries.map((entry) => (
                <li key={entry.path}>
                  <a href={href(entry.path)} aria-current={isWithin(path, entry.path) ? "page" : undefined}>
                    {entry.name}
                  </a>
                </li>
              ))}
            </ul>
          </div>
        );
      })}
    </nav>
  );
}

function isWithin(path: string, entry: string): boolean {
  return path === entry || (entry !== "/" && path.startsWith(`${entry}/`));
}

function SignedIn() {
  const { me, signOut } = useSession();
  return (
    <div class="signed-in">
      <p>
        <strong>{me.name}</strong>
        <br />
        <span class="muted">{me.roles.map((role) => ROLE_WORDS[role] ?? role).join(", ")}</span>
      </p>
      <button type="button" class="quiet" onClick={signOut}>
        <Icon name="out" /> Sign out
      </button>
    </div>
  );
}

/** A seal: one ring around three leaves of a tree. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <circle cx="12" cy="12" r="10.5" />
      <path d="M12 6.5v4M12 10.5L7.5 16M12 10.5l4.5 5.5" />
      <circle class="dot" cx="12" cy="6.5" r="1.9" />
      <circle class="dot" cx="7.3" cy="16.2" r="1.9" />
      <circle class="dot" cx="16.7" cy="16.2" r="1.9" />
    </svg>
  );
}
