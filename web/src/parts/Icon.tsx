/** Small pictures beside words, never in their place. */

const PATHS = {
  check: "M3.5 8.5l3 3 6-7",
  cross: "M4 4l8 8M12 4l-8 8",
  dash: "M4 8h8",
  question: "M5.8 6.2a2.2 2.2 0 1 1 3.3 1.9c-.8.5-1.1.9-1.1 1.7M8 12.4v.1",
  warning: "M8 4.5v4.5M8 11.4v.1",
  clock: "M8 4.6V8l2.4 1.6",
  copy: "M6 6h7v7H6zM3 10V3h7",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  out: "M9 3h4v4M13 3L7.5 8.5M6 4H3v9h9v-3",
} as const;

export type IconName = keyof typeof PATHS;

const ROUND: readonly IconName[] = ["check", "cross", "dash", "question", "clock", "warning"];

export function Icon({ name }: { name: IconName }) {
  const isRound = ROUND.includes(name);
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      {isRound && <circle cx="8" cy="8" r="7.1" class="icon-ring" />}
      <path d={PATHS[name]} transform={isRound ? "translate(8 8) scale(.82) translate(-8 -8)" : ""} />
    </svg>
  );
}
