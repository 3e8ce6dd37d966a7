/** Models as callers need them: the manifest, checked against the id, and bytes from numbers and back. */

import { type Hex, bytesToHex, keccak256, stringToBytes } from "viem";

import { parseHex } from "../../../web/src/verify/bytes";
import { Rejected } from "../../../web/src/verify/rejected";
import { computeModelId } from "./protocol";
import { tell } from "./tell";

const NO_CIRCUIT: Hex = `0x${"00".repeat(32)}`;

/** A canonical model's tensor: real = integer · 2^-exponent, unless there is a scaling for each element. */
export interface CanonicalTensor {
  shape: number[];
  exponent: number;
  range: [number, number];
  scaling?: { exponents: number[]; zero_points: number[] };
}

export interface Model {
  modelId: Hex;
  kind: "canonical" | "opaque";
  name: string;
  labels: string[] | null;
  /** As it was published; its digest is in the id. */
  manifest: Record<string, unknown>;
}

/** Deeper than any manifest is. */
const MAX_DEPTH = 64;

/** RFC 8785: keys sorted by UTF-16 units; JavaScript writes strings and numbers as it asks. Throws Rejected for what is too deep. */
export function canonicalJson(value: unknown, depth = 0): string {
  if (depth > MAX_DEPTH) throw new Rejected("JSON value", `one at most ${MAX_DEPTH} deep`, "a deeper one");
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item, depth + 1)).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const fields = value as Record<string, unknown>;
    const names = Object.keys(fields).sort();
    return `{${names.map((name) => `${JSON.stringify(name)}:${canonicalJson(fields[name], depth + 1)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

/** The model of a manifest that somebody sent. Throws Rejected unless it is the one that the id stands for. */
export function checkModel(modelId: Hex, manifest: unknown, parameters: unknown): Model {
  if (typeof manifest !== "object" || manifest === null || !Array.isArray(parameters))
    throw new Rejected("model of the API", "a manifest and parameters", typeof manifest);
  const fields = manifest as { kind?: unknown; name?: unknown; labels?: unknown; files?: Record<string, { keccak256?: Hex }> };
  if (fields.kind !== "canonical" && fields.kind !== "opaque")
    throw new Rejected("manifest", "kind canonical or opaque", tell(fields.kind));
  const isCanonical = fields.kind === "canonical";
  const circuit = isCanonical ? fields.files?.["circuit.bin"]?.keccak256 : NO_CIRCUIT;
  const digests = parameters.map((digest) => bytesToHex(parseHex(digest, "parameter of the model", 32)));
  const circuitDigest = bytesToHex(parseHex(circuit, "circuit digest of the manifest", 32));
  const got = computeModelId(isCanonical ? 1 : 2, keccak256(stringToBytes(canonicalJson(manifest))), circuitDigest, digests);
  if (got !== modelId.toLowerCase()) throw new Rejected("manifest", `that of model ${modelId}`, `that of ${got}`);
  return {
    modelId,
    kind: fields.kind,
    name: String(fields.name),
    labels: Array.isArray(fields.labels) ? fields.labels.map(String) : null,
    manifest: manifest as Record<string, unknown>,
  };
}

/** The tensor that a canonical model takes or gives. Throws Rejected for an opaque one. */
export function tensorOf(model: Model, side: "input" | "output"): CanonicalTensor {
  const tensor = model.manifest[side];
  if (model.kind !== "canonical" || typeof tensor !== "object" || tensor === null)
    throw new Rejected(`model ${model.name}`, "a canonical model", model.kind);
  return tensor as CanonicalTensor;
}

/** Input bytes of real numbers, in the model's own units: clamp(floor(x·2^e + 1/2) − z), as docs/models.md says. Throws Rejected. */
export function encodeReals(model: Model, values: readonly number[]): Hex {
  const tensor = tensorOf(model, "input");
  const [low, high] = tensor.range;
  requireCount("input", tensor, values.length);
  const integers = values.map((value, at) => {
    if (!Number.isFinite(value)) throw new Rejected(`input element ${at}`, "a finite number", String(value));
    const exponent = tensor.scaling?.exponents[at] ?? tensor.exponent;
    const rounded = Math.floor(value * 2 ** exponent + 0.5) - (tensor.scaling?.zero_points[at] ?? 0);
    return Math.min(high, Math.max(low, rounded));
  });
  return packInt16(integers);
}

/** The real numbers of a canonical model's output. Throws Rejected for an output of another length. */
export function decodeReals(model: Model, output: Hex): number[] {
  const tensor = tensorOf(model, "output");
  const integers = unpackInt16(output);
  requireCount("output", tensor, integers.length);
  return integers.map((value) => value * 2 ** -tensor.exponent);
}

function requireCount(what: string, tensor: CanonicalTensor, count: number): void {
  const size = tensor.shape.reduce((product, dimension) => product * dimension, 1);
  if (count !== size) throw new Rejected(what, `${size} elements`, `${count} elements`);
}

/** Packed big-endian int16. Throws Rejected for an entry out of range. */
export function packInt16(values: readonly number[]): Hex {
  const bytes = new Uint8Array(2 * values.length);
  const view = new DataView(bytes.buffer);
  values.forEach((value, at) => {
    if (!Number.isInteger(value) || value < -32768 || value > 32767)
      throw new Rejected(`integer ${at}`, "one in [-32768, 32767]", String(value));
    view.setInt16(2 * at, value);
  });
  return bytesToHex(bytes);
}

/** Throws Rejected for an odd number of bytes. */
export function unpackInt16(data: Hex): number[] {
  const bytes = parseHex(data, "integer tensor");
  if (bytes.length % 2) throw new Rejected("integer tensor", "an even number of bytes", bytes.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return Array.from({ length: bytes.length / 2 }, (_, at) => view.getInt16(2 * at));
}
