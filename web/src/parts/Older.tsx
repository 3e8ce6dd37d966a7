/** To the next page of a list, by the address. */

import { href } from "../app/router";

export function Older({ path, next, before }: { path: string; next: number | null; before: string }) {
  if (next === null && !before) return null;
  return (
    <nav class="pager" aria-label="Pages of the list">
      {before && <a href={href(path)}>Newest</a>}
      {next !== null && (
        <a class="button" href={href(path, { before: next })}>
          Older
        </a>
      )}
    </nav>
  );
}
