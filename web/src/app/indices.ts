/** Record numbers as people type them: "17, 20-23 41". */

const MOST = 1000;

/** The numbers, ascending and each once; null for anything else. */
export function parseIndices(text: string): number[] | null {
  const found = new Set<number>();
  for (const word of text.split(/[\s,;]+/).filter(Boolean)) {
    const match = /^([0-9]{1,15})(?:[-–]([0-9]{1,15}))?$/.exec(word);
    if (!match) return null;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (last < first || last - first >= MOST) return null;
    for (let index = first; index <= last; index++) found.add(index);
  }
  return found.size && found.size <= MOST ? [...found].sort((a, b) => a - b) : null;
}
