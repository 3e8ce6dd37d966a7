// Compiles what is deployed and writes it to oracle/artifacts, so that nodes and deployments need no compiler.
// `--check` compiles in memory and fails when the files are not what a fresh build gives.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const OUT = join(ROOT, "oracle", "artifacts");
const SETTINGS = JSON.parse(readFileSync(join(ROOT, "contracts", "tools", "settings.json"), "utf8"));
const SNAPSHOTS = join(ROOT, "contracts", "snapshots");
const EIP170_MAX_BYTES = 24_576;

// Everything a deployment uses, and the interfaces a client needs an ABI of.
const SHIPPED = {
  TimelockController: "@openzeppelin/contracts/governance/TimelockController.sol",
  ModelRegistry: "contracts/src/ModelRegistry.sol",
  OperatorRegistry: "contracts/src/OperatorRegistry.sol",
  QuorumVerifier: "contracts/src/verifiers/QuorumVerifier.sol",
  ProofVerifier: "contracts/src/verifiers/ProofVerifier.sol",
  VerifierRouter: "contracts/src/VerifierRouter.sol",
  Coprocessor: "contracts/src/Coprocessor.sol",
  FraudProofs: "contracts/src/FraudProofs.sol",
  Disputes: "contracts/src/Disputes.sol",
  FeeQuotes: "contracts/src/FeeQuotes.sol",
  AuditAnchor: "contracts/src/AuditAnchor.sol",
  BlsKeys: "contracts/src/BlsKeys.sol",
  BlsQuorumVerifier: "contracts/src/verifiers/BlsQuorumVerifier.sol",
  DcapCertificates: "contracts/src/enclave/DcapCertificates.sol",
  DcapCollateral: "contracts/src/enclave/DcapCollateral.sol",
  DcapVerifier: "contracts/src/enclave/DcapVerifier.sol",
  EnclaveRegistry: "contracts/src/EnclaveRegistry.sol",
  EnclaveVerifier: "contracts/src/verifiers/EnclaveVerifier.sol",
  IERC20Metadata: "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol",
  DemoToken: "contracts/test/tokens/DemoToken.sol",
  DigitGate: "contracts/src/examples/DigitGate.sol",
  AgentAccount: "contracts/src/examples/AgentAccount.sol",
  IInferenceConsumer: "contracts/src/interfaces/IInferenceConsumer.sol",
};

// 2394: transient storage needs care. It holds OpenZeppelin's re-entrancy guard alone, which clears itself.
const ACCEPTED_WARNINGS = new Set(["2394"]);

const digests = {};

/** Reads a source by its unit name and remembers its SHA-256. */
function readSource(unit) {
  const path = unit.startsWith("@") ? join(ROOT, "node_modules", unit) : join(ROOT, unit);
  if (!existsSync(path)) return { error: `no such source: ${unit}` };
  const contents = readFileSync(path, "utf8");
  digests[unit] = createHash("sha256").update(contents).digest("hex");
  return { contents };
}

function compile() {
  const units = Object.values(SHIPPED);
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(units.map((unit) => [unit, { content: readSource(unit).contents }])),
    settings: {
      ...SETTINGS,
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"] } },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: readSource }));
  const problems = (output.errors ?? []).filter((e) => e.severity !== "info" && !ACCEPTED_WARNINGS.has(e.errorCode));
  if (problems.length > 0) throw new Error(problems.map((e) => e.formattedMessage).join("\n"));
  return output.contracts;
}

function toArtifact(name, unit, compiled) {
  const { bytecode, deployedBytecode } = compiled.evm;
  const bytes = deployedBytecode.object.length / 2;
  if (bytes > EIP170_MAX_BYTES) throw new Error(`${name}: ${bytes} bytes, more than EIP-170 allows (${EIP170_MAX_BYTES})`);
  return {
    name,
    source: unit,
    abi: compiled.abi,
    bytecode: `0x${bytecode.object}`,
    deployedBytecode: `0x${deployedBytecode.object}`,
    // Where constructor values stand in the deployed code: byte offsets to mask when comparing with a chain.
    immutables: Object.values(deployedBytecode.immutableReferences ?? {}).flat().sort((a, b) => a.start - b.start),
  };
}

function toText(value) {
  return JSON.stringify(value, null, 1) + "\n";
}

/** The gas that forge measured (contracts/snapshots), for those who tell people what things cost. */
function readGas() {
  const groups = readdirSync(SNAPSHOTS).filter((name) => name.endsWith(".json")).sort();
  const read = (name) => Object.entries(JSON.parse(readFileSync(join(SNAPSHOTS, name), "utf8")));
  return Object.fromEntries(groups.map((name) => [name.slice(0, -5), Object.fromEntries(read(name).map(([what, gas]) => [what, Number(gas)]))]));
}

function buildFiles() {
  const contracts = compile();
  const files = {};
  for (const [name, unit] of Object.entries(SHIPPED)) {
    files[`${name}.json`] = toText(toArtifact(name, unit, contracts[unit][name]));
  }
  const sources = Object.fromEntries(Object.entries(digests).sort(([a], [b]) => (a < b ? -1 : 1)));
  files["compiler.json"] = toText({ compiler: "solc", version: solc.version(), settings: SETTINGS, sourcesSha256: sources });
  files["gas.json"] = toText(readGas());
  return files;
}

function check(files) {
  const present = new Set(readdirSync(OUT).filter((name) => name.endsWith(".json")));
  const stale = Object.keys(files).filter((name) => !present.has(name) || readFileSync(join(OUT, name), "utf8") !== files[name]);
  const extra = [...present].filter((name) => !(name in files));
  if (stale.length + extra.length > 0) {
    throw new Error(`oracle/artifacts is not what a fresh build gives: ${[...stale, ...extra].join(", ")}; run scripts/contracts`);
  }
}

function write(files) {
  mkdirSync(OUT, { recursive: true });
  for (const name of readdirSync(OUT).filter((old) => old.endsWith(".json") && !(old in files))) rmSync(join(OUT, name));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(OUT, name), text);
}

try {
  const files = buildFiles();
  if (process.argv.includes("--check")) check(files);
  else write(files);
  for (const name of Object.keys(SHIPPED)) {
    const { deployedBytecode } = JSON.parse(files[`${name}.json`]);
    process.stdout.write(`${name.padEnd(20)} ${String(deployedBytecode.length / 2 - 1).padStart(6)} bytes\n`);
  }
} catch (error) {
  process.stderr.write(`contracts: ${error.message}\n`);
  process.exitCode = 1;
}
