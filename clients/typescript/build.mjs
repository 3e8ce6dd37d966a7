/** Builds dist/: one module, without what it is used beside (viem, noble), and its types. */

import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "dist");

rmSync(out, { recursive: true, force: true });
await build({
  absWorkingDir: here,
  entryPoints: ["src/index.ts"],
  outfile: join(out, "index.js"),
  bundle: true,
  format: "esm",
  target: "es2022",
  external: ["viem", "viem/*", "@noble/*"],
  logLevel: "warning",
});
const emitting = ["--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--rootDir", "../..", "--outDir", join(out, "types")];
execFileSync(join(here, "../../node_modules/.bin/tsc"), ["-p", "tsconfig.build.json", ...emitting], { cwd: here, stdio: "inherit" });
