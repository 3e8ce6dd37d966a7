/** Disclosed content held against its record: sealed fields against `audit.sealed`, bodies against their keccak-256 digests. */

import { keccak_256 } from "@noble/hashes/sha3.js";

import { parseHex, toHex } from "./bytes";
import type { FieldValue, Fields } from "./canonical";
import { Rejected } from "./rejected";
import { type Opening, verifyOpening } from "./seal";

export interface ContentCheck {
  name: string;
  holds: boolean;
  detail: string;
}

export interface DisclosedContent {
  sealed: ({ name: string; value: FieldValue } & Partial<Opening>)[];
  bodies: { name: string; hex: string }[];
}

/** One check for each sealed field, and one named "body <name>" for each body. */
export function checkContent(fields: Fields, content: DisclosedContent): ContentCheck[] {
  const opened: Fields = {};
  const checks = content.sealed.map((field) =>
    check(field.name, () => {
      verifyOpening(asOpening(field), parseHex(fields["audit.sealed"], "audit.sealed", 32));
      opened[field.name] = field.value;
      return "Opens the record's commitment";
    }),
  );
  const ofBodies = content.bodies.map((body) =>
    check(`body ${body.name}`, () => {
      const digest = toHex(keccak_256(parseHex(body.hex, `body ${body.name}`)));
      const expected = digestOf({ ...fields, ...opened }, body.name);
      if (digest !== expected) throw new Rejected("body", String(expected ?? "a digest in the record or an opened field"), digest);
      return "Has the digest that was logged";
    }),
  );
  return [...checks, ...ofBodies];
}

function asOpening(field: DisclosedContent["sealed"][number]): Opening {
  const { name, value, salt, index, path } = field;
  if (salt === undefined || index === undefined || path === undefined) throw new Rejected(`field ${name}`, "its salt and path", "none");
  return { name, value, salt, index, path };
}

/** The field that must hold the body's digest: `name`, or item i of a list for "name[i]". */
function digestOf(fields: Fields, name: string): FieldValue | undefined {
  const match = /^(.+)\[([0-9]{1,3})\]$/.exec(name);
  if (!match) return fields[name];
  const list = fields[match[1] ?? ""];
  return Array.isArray(list) ? list[Number(match[2])] : undefined;
}

function check(name: string, verify: () => string): ContentCheck {
  try {
    return { name, holds: true, detail: verify() };
  } catch (error) {
    if (error instanceof Rejected) return { name, holds: false, detail: error.message };
    throw error;
  }
}
