/** Every page: no fault for axe-core beyond minor ones, no sideways scrolling on a phone, light and dark, no refusal by the content policy. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";

import { goTo, open, openAs, scene, settle } from "./browser.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const PAGES = {
  overview: ["auditor", "/audit"],
  search: ["auditor", "/audit/records?kind=receipt"],
  record: ["auditor", `/audit/records/${scene.receipts[0]}`],
  completeness: ["auditor", "/audit/completeness"],
  samples: ["auditor", "/audit/samples"],
  reviews: ["auditor", "/audit/reviews"],
  disclosures: ["dpo", `/audit/disclosures?indices=${scene.receipts[0]}`],
  holds: ["dpo", "/audit/holds?index=1"],
  erasures: ["dpo", "/audit/erasures?indices=1"],
  readers: ["auditor", "/audit/readers"],
  export: ["auditor", "/audit/export"],
  operations: ["operator", "/audit/operations"],
  settings: ["auditor", "/audit/settings"],
  "no right": ["operator", "/audit/readers"],
  "no record": ["auditor", "/audit/records/999999"],
  "no page": ["auditor", "/audit/nothing/here"],
};

async function judge(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations
    .filter((one) => one.impact !== "minor")
    .map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => `${node.target} ${node.any[0]?.message ?? ""}`).join("; ")}`);
}

for (const colorScheme of ["light", "dark"]) {
  test(`axe-core finds nothing, ${colorScheme}`, async () => {
    const found = {};
    for (const [name, [role, path]] of Object.entries(PAGES)) {
      const { context, page } = await openAs(role, { colorScheme });
      await goTo(page, path);
      await settle(page);
      for (const details of await page.locator("details").all()) await details.evaluate((element) => element.setAttribute("open", ""));
      const faults = [...(await judge(page)), ...page.faults];
      if (faults.length) found[name] = faults;
      await context.close();
    }
    assert.deepEqual(found, {});
  });
}

test("the page to sign in has no fault either", async () => {
  const { page } = await open();
  await goTo(page, "/audit");
  assert.deepEqual(await judge(page), []);
});

test("no page scrolls sideways, on a phone or a narrow screen", async () => {
  const wide = {};
  for (const [name, [role, path]] of Object.entries(PAGES)) {
    const { context, page } = await openAs(role);
    await goTo(page, path);
    await settle(page);
    for (const details of await page.locator("details").all()) await details.evaluate((element) => element.setAttribute("open", ""));
    for (const width of [1024, 820, 700, 360]) {
      await page.setViewportSize({ width, height: 740 });
      await page.waitForTimeout(100);
      const excess = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (excess > 0) wide[`${name} at ${width}`] = excess;
    }
    await context.close();
  }
  assert.deepEqual(wide, {});
});

test("the menu of a phone opens", async () => {
  const { page } = await openAs("auditor", { viewport: { width: 360, height: 740 } });
  await goTo(page, "/audit/records");
  const menu = page.getByRole("button", { name: "Menu" });
  assert.equal(await page.getByRole("link", { name: "Settings" }).isVisible(), false);
  await menu.click();
  assert.equal(await menu.getAttribute("aria-expanded"), "true");
  await page.getByRole("link", { name: "Settings" }).click();
  await page.getByRole("heading", { level: 1, name: "Settings" }).waitFor();
});

test("light and dark follow the system until somebody chooses", async () => {
  const shade = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const { page } = await openAs("auditor", { colorScheme: "dark" });
  await goTo(page, "/audit/settings");
  const dark = await shade(page);
  await page.getByLabel("Light").check();
  const light = await shade(page);
  assert.notEqual(dark, light);
  await page.reload();
  await page.locator("h1").waitFor();
  assert.equal(await shade(page), light);
  await page.getByLabel("As the system").check();
  assert.equal(await shade(page), dark);
});
