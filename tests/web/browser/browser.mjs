/** What the browser's tests share: the scene, a browser, signing in, reading a verification. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before } from "node:test";

import { chromium } from "playwright-core";

export const scene = JSON.parse(readFileSync(process.env.AFFIDAVIT_DESK, "utf8"));
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];
const PATIENCE_MS = 60_000;

let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: scene.chromium, args: FLAGS });
});
after(() => browser?.close());

/** A context of its own for each test: nothing is remembered from the one before. */
export async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && /content security policy/i.test(message.text())) page.faults.push(message.text());
  });
  return { context, page };
}

/** Signed in as the person with that role, by the session that the form would make. */
export async function openAs(role, options = {}) {
  const { context, page } = await open(options);
  const answer = await context.request.post(`${scene.base}/audit/v1/session`, { data: { token: scene.tokens[role] } });
  assert.equal(answer.status(), 200, await answer.text());
  return { context, page };
}

export async function goTo(page, path) {
  await page.goto(scene.base + path);
  await page.locator("h1").first().waitFor();
}

/** Waits until nothing on the page is loading or being verified. */
export async function settle(page) {
  await page.waitForFunction(() => !document.querySelector(".spinner, [aria-busy=true], [data-verdict=running]"), null, {
    timeout: PATIENCE_MS,
  });
}

/** The browser's own verification: its one word, and the status of each step by its number. */
export async function readVerdict(page) {
  const panel = page.locator("[data-verdict]").first();
  await page.locator("[data-verdict]:not([data-verdict=running])").first().waitFor();
  await settle(page);
  const steps = await panel
    .locator("[data-step]")
    .evaluateAll((items) => items.map((item) => [Number(item.dataset.step), item.dataset.status]));
  return { verdict: await panel.getAttribute("data-verdict"), steps: Object.fromEntries(steps), text: await panel.innerText() };
}

/** Presses Tab until what has the focus fits: a person without a mouse. */
export async function tabTo(page, fits, most = 80) {
  for (let presses = 0; presses < most; presses++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate(fits)) return;
  }
  assert.fail(`not reached by ${most} presses of Tab: ${fits}`);
}
