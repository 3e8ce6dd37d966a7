/** Bundles the pages into web/dist: assets under names with their digests, and the one HTML file that names them. */

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const built = join(here, "dist");
const out = join(here, ".new", "dist"); // built beside its place and then moved there: what is being served is never half a build

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.tsx", style: "src/style.css" },
  outdir: join(out, "assets"),
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  bundle: true,
  splitting: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  minify: true,
  sourcemap: false,
  legalComments: "linked",
  metafile: true,
  logLevel: "warning",
});

const named = (entry) => {
  const found = Object.entries(metafile.outputs).find(([, output]) => output.entryPoint === entry);
  return basename(found[0]);
};
const html = readFileSync(join(here, "src/index.html"), "utf8");
writeFileSync(join(out, "index.html"), html.replace("{{app}}", named("src/main.tsx")).replace("{{style}}", named("src/style.css")));
rmSync(built, { recursive: true, force: true });
renameSync(out, built);
