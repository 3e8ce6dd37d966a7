/** A page: its heading takes the focus when the path changes, so that keyboard and screen reader begin where the eye does. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { currentPlace } from "../app/router";

interface PageProps {
  title: string;
  lead?: ComponentChildren;
  actions?: ComponentChildren;
  children: ComponentChildren;
}

/** The path whose heading had the focus last; a page that is opened anew begins at the skip link instead. */
let focusedPath: string | null = null;

export function Page({ title, lead, actions, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Affidavit`;
    const { path } = currentPlace();
    if (focusedPath !== null && focusedPath !== path) heading.current?.focus({ preventScroll: true });
    focusedPath = path;
  }, [title]);
  return (
    <>
      <header class="page-head">
        <div>
          <h1 ref={heading} tabIndex={-1}>
            {title}
          </h1>
          {lead && <p class="lead">{lead}</p>}
        </div>
        {actions && <div class="actions">{actions}</div>}
      </header>
      {children}
    </>
  );
}

export function Section({
  title,
  note,
  actions,
  children,
}: {
  title: string;
  note?: ComponentChildren;
  actions?: ComponentChildren;
  children: ComponentChildren;
}) {
  return (
    <section class="section">
      <div class="section-head">
        <h2>{title}</h2>
        {actions && <div class="actions">{actions}</div>}
      </div>
      {note && <p class="note">{note}</p>}
      {children}
    </section>
  );
}
