/** The HTTP API, asked and not believed. */

import type { Hex } from "viem";

import { Rejected, Unreachable } from "../../../web/src/verify/rejected";
import type { Request } from "./protocol";
import { tell } from "./tell";

/** A refusal, as the API's problem document tells it (docs/api.md). */
export class ApiRefused extends Error {
  readonly status: number;
  readonly title: string;

  constructor(status: number, title: string, detail: string) {
    super(`${title}: ${detail}`);
    this.name = "ApiRefused";
    this.status = status;
    this.title = title;
  }
}

/** One server-sent event: what the API says happened. A story, not evidence. */
export interface Step {
  id: string;
  kind: string;
  data: Record<string, unknown>;
}

/** How far a request is, as the API tells it. `reason`: why it failed, expired, or (while it is collected) will come to nothing. */
export interface Progress {
  state: string;
  isFinal: boolean;
  reason: string | null;
}

const TIMEOUT_MS = 20_000;
const STREAM_TIMEOUT_MS = 3_700_000; // streams end after an hour
const RECONNECTS = 10;
const PAUSE_MS = 500;
const MAX_LINE = 1 << 20;
const MAX_FIELDS = 8;
/** Of the longest answer: the entries about a request, with their proofs. */
const MAX_ANSWER_BYTES = 16 << 20;

export class Api {
  constructor(
    private readonly base: string,
    private readonly get: typeof fetch = fetch,
  ) {
    this.base = base.replace(/\/$/, "");
  }

  async model(modelId: Hex): Promise<Record<string, unknown>> {
    return this.ask(`/v1/models/${modelId}`);
  }

  /** Posts a signed request. Safe to repeat. */
  async submit(request: Request, signature: Hex, input: Hex): Promise<Record<string, unknown>> {
    const body = JSON.stringify({ request: requestToJson(request), signature, input });
    return this.ask("/v1/requests", { method: "POST", body, headers: { "content-type": "application/json" } });
  }

  async request(requestId: Hex): Promise<Record<string, unknown>> {
    return this.ask(`/v1/requests/${requestId}`);
  }

  /** Throws Rejected where the API says something else. */
  async progress(requestId: Hex): Promise<Progress> {
    const told = await this.request(requestId);
    const [state, isFinal, reason] = [told["state"], told["is_final"], told["reason"]];
    if (typeof state !== "string" || typeof isFinal !== "boolean" || (typeof reason !== "string" && reason !== null))
      throw new Rejected("request of the API", "a state, whether it is final, and a reason or null", tell([state, isFinal, reason]));
    return { state, isFinal, reason };
  }

  async receipt(requestId: Hex): Promise<Record<string, unknown>> {
    return this.ask(`/v1/requests/${requestId}/receipt`);
  }

  async proof(requestId: Hex): Promise<Record<string, unknown>> {
    return this.ask(`/v1/requests/${requestId}/proof`);
  }

  /** Waits until the API has seen a request that was made on chain. Throws ApiRefused (404) when it has not in time. */
  async waitKnown(requestId: Hex, seconds = 60): Promise<void> {
    const until = Date.now() + 1000 * seconds;
    for (;;) {
      try {
        await this.request(requestId);
        return;
      } catch (error) {
        if (!(error instanceof ApiRefused) || error.status !== 404 || Date.now() > until) throw error;
      }
      await pause();
    }
  }

  /** Every step of a request until it is final; reconnects where it broke off, and repeats no step. */
  async *follow(requestId: Hex): AsyncGenerator<Step> {
    let last = "";
    let failures = 0;
    for (;;) {
      try {
        // The state is read before the steps: whatever made it final is then among them.
        const isFinal = (await this.request(requestId))["is_final"] === true;
        for await (const step of this.stream(requestId, last)) {
          [last, failures] = [step.id, 0];
          yield step;
        }
        if (isFinal) return;
      } catch (error) {
        if (!(error instanceof Unreachable) || ++failures > RECONNECTS) throw error;
      }
      await pause();
    }
  }

  private async *stream(requestId: Hex, last: string): AsyncGenerator<Step> {
    const headers = { accept: "text/event-stream", ...(last ? { "last-event-id": last } : {}) };
    const response = await this.fetch(`/v1/requests/${requestId}/events`, { headers }, STREAM_TIMEOUT_MS);
    if (!response.ok || !response.body) await this.decode(response);
    else yield* parseEvents(readLines(response.body));
  }

  private async ask(path: string, options: RequestInit = {}): Promise<Record<string, unknown>> {
    return this.decode(await this.fetch(path, options, TIMEOUT_MS));
  }

  private async fetch(path: string, options: RequestInit, milliseconds: number): Promise<Response> {
    const ask = this.get; // called without a receiver, as browsers want it
    // Where an API sends us elsewhere, somebody else would be asked, or given what is signed: that is no answer.
    const all: RequestInit = { ...options, redirect: "error", signal: AbortSignal.timeout(milliseconds) };
    return ask(`${this.base}${path}`, all).catch((error: unknown) => {
      throw new Unreachable(`the API at ${this.base} does not answer`, { cause: error });
    });
  }

  private async decode(response: Response): Promise<Record<string, unknown>> {
    const body = parseJson(await this.read(response), response.status);
    if (typeof body !== "object" || body === null || Array.isArray(body)) throw new Rejected("answer of the API", "a JSON object", tell(body));
    const fields = body as Record<string, unknown>;
    if (response.ok) return fields;
    if (response.status >= 500) throw new Unreachable(`the API answered ${response.status}: ${tell(fields["detail"], 500)}`);
    throw new ApiRefused(response.status, tell(fields["title"]), tell(fields["detail"], 500));
  }

  /** The text of an answer, which is no longer than anything an API has to say. */
  private async read(response: Response): Promise<string> {
    const decoder = new TextDecoder();
    let [text, size] = ["", 0];
    for await (const piece of readPieces(response.body)) {
      size += piece.length;
      if (size > MAX_ANSWER_BYTES) throw new Unreachable(`the API at ${this.base} sent more than ${MAX_ANSWER_BYTES} bytes`);
      text += decoder.decode(piece, { stream: true });
    }
    return text + decoder.decode();
  }
}

function parseJson(text: string, status: number): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new Unreachable(`the API answered ${status} without JSON`, { cause: error });
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}

export function requestToJson(request: Request): Record<string, string | number> {
  return {
    requester: request.requester,
    refund_to: request.refundTo,
    model_id: request.modelId,
    input_digest: request.inputDigest,
    policy: request.policy,
    fee_wei: String(request.feeWei),
    callback_gas: request.callbackGas,
    deadline: Number(request.deadline),
    nonce: String(request.nonce),
  };
}

async function* readPieces(body: ReadableStream<Uint8Array> | null): AsyncGenerator<Uint8Array> {
  const reader = body?.getReader();
  try {
    while (reader) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw new Unreachable("the API broke off", { cause: error });
      });
      if (done) return;
      yield value;
    }
  } finally {
    await reader?.cancel().catch(() => undefined);
  }
}

async function* readLines(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of readPieces(body)) {
    rest += decoder.decode(piece, { stream: true });
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    if (rest.length > MAX_LINE) throw new Rejected("event of the API", `lines of at most ${MAX_LINE} characters`, rest.length);
    yield* lines;
  }
}

/** Server-sent events (WHATWG HTML, section 9.2); comments are skipped, and so is an event that was cut off. */
export async function* parseEvents(lines: AsyncIterable<string>): AsyncGenerator<Step> {
  let fields: Record<string, string> = {};
  for await (const line of lines) {
    if (line === "") {
      if (fields["data"] !== undefined)
        yield { id: fields["id"] ?? "", kind: fields["event"] ?? "message", data: parseData(fields["data"]) };
      fields = {};
    } else if (!line.startsWith(":")) {
      const colon = line.indexOf(":");
      const [name, value] = colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1)];
      fields[name] = value.startsWith(" ") ? value.slice(1) : value;
      if (Object.keys(fields).length > MAX_FIELDS) throw new Rejected("event of the API", `at most ${MAX_FIELDS} fields`, "more");
    }
  }
}

function parseData(text: string): Record<string, unknown> {
  try {
    const data: unknown = JSON.parse(text);
    if (typeof data === "object" && data !== null && !Array.isArray(data)) return data as Record<string, unknown>;
  } catch {
    // falls through: not JSON is not an object either
  }
  throw new Rejected("event of the API", "a JSON object", tell(text, 40));
}
