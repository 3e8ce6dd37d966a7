/** Whose fault it is: `Rejected` means that what was shown is not true; any other error is the world's (a dead network) or ours. */

export class Rejected extends Error {
  readonly what: string;
  readonly expected: string;
  readonly got: string;

  constructor(what: string, expected: string, got: string | number | bigint) {
    super(`${what}: expected ${expected}, got ${got}`);
    this.name = "Rejected";
    this.what = what;
    this.expected = expected;
    this.got = String(got);
  }
}

/** An outside thing (our server, the chain's RPC) that does not answer: nothing is proven false by it, and nothing true. */
export class Unreachable extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "Unreachable";
  }
}
