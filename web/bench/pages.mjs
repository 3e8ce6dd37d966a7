/** Times pages in Chromium. Standard input: {base, chromium, token, paths, times}; standard output: seconds by the name of the page. */

import { readFileSync } from "node:fs";

import { chromium } from "playwright-core";

const scene = JSON.parse(readFileSync(0, "utf8"));
const browser = await chromium.launch({ executablePath: scene.chromium, args: ["--no-sandbox", "--disable-gpu"] });
const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
context.setDefaultTimeout(120_000);
const answer = await context.request.post(`${scene.base}/audit/v1/session`, { data: { token: scene.token } });
if (answer.status() !== 200) throw new Error(`signing in: ${answer.status()} ${await answer.text()}`);

/** Nothing is loading or being verified any more; results have their rows. */
const isThere = (asksForRows) =>
  document.querySelector("h1") &&
  !document.querySelector(".spinner, [aria-busy=true], [data-verdict=running]") &&
  (!asksForRows || document.querySelector("a.record-link"));

async function timeOnce(path) {
  const page = await context.newPage();
  const started = performance.now();
  await page.goto(scene.base + path);
  await page.waitForFunction(isThere, /\/records(\?|$)/.test(path), { polling: "raf" });
  const seconds = (performance.now() - started) / 1000;
  await page.close();
  return seconds;
}

const found = {};
for (const [name, path] of Object.entries(scene.paths)) {
  await timeOnce(path); // the program itself is in the browser's cache from here on
  found[name] = [];
  for (let time = 0; time < scene.times; time++) found[name].push(await timeOnce(path));
}
await browser.close();
console.log(JSON.stringify(found));
