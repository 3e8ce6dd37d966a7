/** Charts drawn here, in SVG, each with its numbers as a table for whoever wants them exactly or cannot see it. */

import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";

import { count } from "../app/words";
import { useWidth } from "./useWidth";

export interface Series {
  name: string;
  className: string;
  values: (number | null)[];
}

interface ChartProps {
  title: string;
  summary: string;
  labels: string[];
  series: Series[];
  format?: (value: number) => string;
}

const HEIGHT = 180;
const PAD = { top: 10, right: 8, bottom: 24, left: 52 };

interface Scale {
  width: number;
  top: number;
  x: (at: number) => number;
  y: (value: number) => number;
}

/** Bars on one another, one stack a label. */
export function StackedBars(props: ChartProps) {
  const totals = props.labels.map((_, at) => props.series.reduce((sum, one) => sum + (one.values[at] ?? 0), 0));
  return (
    <Chart {...props} largest={Math.max(...totals, 0)}>
      {(scale) => props.labels.map((_, at) => <Stack key={at} at={at} series={props.series} scale={scale} slots={props.labels.length} />)}
    </Chart>
  );
}

function Stack({ at, series, scale, slots }: { at: number; series: Series[]; scale: Scale; slots: number }) {
  const slot = (scale.width - PAD.left - PAD.right) / slots;
  const width = Math.max(1, Math.min(28, slot * 0.72));
  let sum = 0;
  return (
    <>
      {series.map((one) => {
        const from = sum;
        sum += one.values[at] ?? 0;
        const height = scale.y(from) - scale.y(sum);
        return (
          <rect
            key={one.name}
            class={one.className}
            x={scale.x(at) - width / 2}
            y={scale.y(sum)}
            width={width}
            height={Math.max(0, height)}
            rx={height > 3 ? 1.5 : 0}
          />
        );
      })}
    </>
  );
}

/** A line for each series; a missing value leaves a gap. */
export function Lines(props: ChartProps) {
  const largest = Math.max(...props.series.flatMap((one) => one.values.map((value) => value ?? 0)), 0);
  return (
    <Chart {...props} largest={largest}>
      {(scale) => props.series.map((one) => <Line key={one.name} series={one} scale={scale} />)}
    </Chart>
  );
}

function Line({ series, scale }: { series: Series; scale: Scale }) {
  const points = series.values.map((value, at) => (value === null ? null : ([scale.x(at), scale.y(value)] as const)));
  const path = points
    .map((point, at) => (point ? `${at > 0 && points[at - 1] ? "L" : "M"}${point[0].toFixed(1)} ${point[1].toFixed(1)}` : ""))
    .join("");
  const dots = points.length > 40 ? [] : points.filter((point) => point !== null);
  return (
    <g class={series.className}>
      <path d={path} fill="none" />
      {dots.map(([x, y]) => (
        <circle key={x} cx={x} cy={y} r="2.4" />
      ))}
    </g>
  );
}

function Chart({
  title,
  summary,
  labels,
  series,
  format = count,
  largest,
  children,
}: ChartProps & { largest: number; children: (scale: Scale) => ComponentChildren }) {
  const frame = useRef<HTMLDivElement>(null);
  const width = Math.max(240, useWidth(frame, 480));
  const top = roundUp(largest);
  const inner = width - PAD.left - PAD.right;
  const scale: Scale = {
    width,
    top,
    x: (at) => PAD.left + (inner * (at + 0.5)) / Math.max(1, labels.length),
    y: (value) => HEIGHT - PAD.bottom - ((HEIGHT - PAD.top - PAD.bottom) * value) / top,
  };
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{title}</span>
        <span class="legend">
          {series.map((one) => (
            <span key={one.name} class={`key ${one.className}`}>
              {one.name}
            </span>
          ))}
        </span>
      </figcaption>
      <div ref={frame} class="chart-frame">
        <svg role="img" aria-label={`${title}. ${summary}`} width={width} height={HEIGHT} viewBox={`0 0 ${width} ${HEIGHT}`}>
          <Grid scale={scale} format={format} />
          <Ticks labels={labels} scale={scale} />
          {children(scale)}
        </svg>
      </div>
      <Numbers title={title} labels={labels} series={series} format={format} />
    </figure>
  );
}

function Grid({ scale, format }: { scale: Scale; format: (value: number) => string }) {
  return (
    <g class="grid">
      {[0, 0.5, 1].map((part) => (
        <g key={part}>
          <line x1={PAD.left} x2={scale.width - PAD.right} y1={scale.y(scale.top * part)} y2={scale.y(scale.top * part)} />
          <text x={PAD.left - 8} y={scale.y(scale.top * part) + 4} text-anchor="end">
            {format(scale.top * part)}
          </text>
        </g>
      ))}
    </g>
  );
}

function Ticks({ labels, scale }: { labels: string[]; scale: Scale }) {
  const every = Math.max(1, Math.ceil(labels.length / Math.max(2, Math.floor(scale.width / 110))));
  return (
    <g class="ticks">
      {labels.map((label, at) =>
        at % every === 0 ? (
          <text key={at} x={Math.max(PAD.left + 14, Math.min(scale.width - 30, scale.x(at)))} y={HEIGHT - 6} text-anchor="middle">
            {label}
          </text>
        ) : null,
      )}
    </g>
  );
}

function Numbers({
  title,
  labels,
  series,
  format,
}: {
  title: string;
  labels: string[];
  series: Series[];
  format: (value: number) => string;
}) {
  return (
    <details class="numbers">
      <summary>As a table</summary>
      <div class="scroll" tabIndex={0} role="region" aria-label={`${title}, numbers`}>
        <table class="plain-table">
          <thead>
            <tr>
              <th scope="col">Time</th>
              {series.map((one) => (
                <th key={one.name} scope="col" class="number">
                  {one.name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {labels.map((label, at) => (
              <tr key={at}>
                <th scope="row">{label}</th>
                {series.map((one) => (
                  <td key={one.name} class="number">
                    {one.values[at] === null || one.values[at] === undefined ? "—" : format(one.values[at])}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

/** Shares of a whole, as bars with their words and numbers. */
export function Shares({ title, parts }: { title: string; parts: { name: string; value: number; className?: string; href?: string }[] }) {
  const total = parts.reduce((sum, part) => sum + part.value, 0);
  return (
    <figure class="chart shares">
      <figcaption>
        <span class="chart-title">{title}</span>
      </figcaption>
      {total === 0 ? (
        <p class="muted">Nothing in this period.</p>
      ) : (
        <ul>
          {parts.map((part) => (
            <li key={part.name}>
              <span class="share-name">{part.href ? <a href={part.href}>{part.name}</a> : part.name}</span>
              <span class="share-value">
                {count(part.value)} <span class="muted">{percent(part.value, total)}</span>
              </span>
              <svg class="share-bar" aria-hidden="true" viewBox="0 0 100 4" preserveAspectRatio="none">
                <rect class="share-back" width="100" height="4" />
                <rect class={part.className ?? "series-a"} width={(100 * part.value) / total} height="4" />
              </svg>
            </li>
          ))}
        </ul>
      )}
    </figure>
  );
}

function percent(value: number, total: number): string {
  const share = (100 * value) / total;
  return share > 0 && share < 1 ? "< 1 %" : `${share.toFixed(0)} %`;
}

/** The least of 1, 2, 5 · 10^n above a value: where an axis ends. */
function roundUp(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((step) => step * power).find((step) => step >= value) ?? 10 * power;
}
