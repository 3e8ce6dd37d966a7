/** Numbers of records as links; of very many, the first few. */

import { href } from "../app/router";
import { count } from "../app/words";

export function IndexLinks({ indices, most = 8 }: { indices: number[]; most?: number }) {
  if (!indices.length) return <span class="muted">—</span>;
  const left = indices.length - most;
  return (
    <span class="index-links">
      {indices.slice(0, most).map((index) => (
        <a key={index} href={href(`/records/${index}`)}>
          {index}
        </a>
      ))}
      {left > 0 && <span class="muted">and {count(left)} more</span>}
    </span>
  );
}
