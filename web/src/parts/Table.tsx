/** Tables that become lists of cards where there is little room. Roles are written out, because a table that is displayed otherwise loses them. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

import { useWidth } from "./useWidth";

export interface Column<T> {
  name: string;
  cell: (row: T) => ComponentChildren;
  isNumber?: boolean;
  isMain?: boolean;
}

interface TableProps<T> {
  caption: string;
  columns: Column<T>[];
  rows: T[];
  rowKey: (row: T) => string | number;
}

export function Table<T>({ caption, columns, rows, rowKey }: TableProps<T>) {
  const frame = useRef<HTMLDivElement>(null);
  const table = useRef<HTMLTableElement>(null);
  const width = useWidth(frame, 1000);
  const [needed, setNeeded] = useState(0);
  const isTight = width < needed;
  useLayoutEffect(() => {
    const natural = table.current?.offsetWidth ?? 0;
    if (!isTight && natural > width) setNeeded(natural); // as a table it does not fit: cards, until there is that much room
  });
  return (
    <div ref={frame} class={isTight ? "table-frame cards" : "table-frame"}>
      <table ref={table} class="table" role="table">
        <caption class="hidden">{caption}</caption>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map((column) => (
              <th key={column.name} role="columnheader" scope="col" class={column.isNumber ? "number" : undefined}>
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {rows.map((row) => (
            <tr key={rowKey(row)} role="row">
              {columns.map((column) => (
                <td key={column.name} role="cell" class={cellClass(column)} data-label={column.name}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function cellClass<T>(column: Column<T>): string | undefined {
  const classes = [column.isNumber ? "number" : "", column.isMain ? "main" : ""].filter(Boolean);
  return classes.length ? classes.join(" ") : undefined;
}

/** Names and values, one under the other. */
export function Facts({ facts }: { facts: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
