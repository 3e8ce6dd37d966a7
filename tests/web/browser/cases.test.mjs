/** What people do with records: samples, reviews, disclosure by four eyes, holds. Two people, two browsers. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { goTo, openAs, scene, settle } from "./browser.mjs";

const receipt = scene.receipts[0];

test("a sample is drawn by a seed, and its records are signed off", async () => {
  const { page } = await openAs("auditor");
  await goTo(page, "/audit/samples");
  await page.getByLabel("How many").fill("2");
  await page.getByLabel("Seed").fill(`0x${"5e".repeat(32)}`);
  await page.getByRole("button", { name: "Draw" }).click();
  await page.getByRole("heading", { level: 1, name: "Sample" }).waitFor();
  await page.getByText("0 of 2 signed off").waitFor();
  const first = page.locator("td.main a").first();
  const index = await first.innerText();
  await first.click();
  await page.locator("summary", { hasText: "Sign off" }).click();
  await page.getByLabel("Note").fill("Held against the file.");
  await page.getByRole("button", { name: "Sign off" }).click();
  await page.getByText("Held against the file.").waitFor();
  await goTo(page, "/audit/reviews");
  await page.getByRole("link", { name: index, exact: true }).first().waitFor();
  assert.deepEqual(page.faults, []);
});

test("content is opened by four eyes, each field verified, each reading logged", async () => {
  const auditor = await openAs("auditor");
  await goTo(auditor.page, `/audit/records/${await intentOf(auditor.page)}`);
  await settle(auditor.page);
  await auditor.page.getByRole("link", { name: "Ask for disclosure" }).click();
  await auditor.page.getByLabel("Reason").fill("The digit that was shown is in doubt.");
  await auditor.page.getByRole("button", { name: "Send to the approvers" }).click();
  await auditor.page.getByText("Waits for approval").first().waitFor();
  assert.equal(await auditor.page.getByRole("button", { name: "Approve" }).count(), 0, "who asks does not decide");

  const officer = await openAs("dpo");
  await goTo(officer.page, "/audit/disclosures");
  await officer.page.getByText("The digit that was shown is in doubt.").first().waitFor();
  await officer.page.getByRole("button", { name: "Approve" }).first().click();
  await officer.page.getByText("Open", { exact: true }).first().waitFor();

  await auditor.page.reload();
  await auditor.page.getByRole("link", { name: /^Open record/ }).first().click();
  await auditor.page.getByText("Reading is logged").waitFor();
  await auditor.page.getByRole("button", { name: "Read the content" }).click();
  await auditor.page.locator("pre.body").first().waitFor();
  const checks = await auditor.page.locator(".check-line").allInnerTexts();
  assert.ok(checks.length > 0);
  for (const check of checks) assert.doesNotMatch(check, /Does not hold/);
  await goTo(auditor.page, "/audit/readers");
  await reloadUntil(auditor.page, auditor.page.getByText("Read content").first());
  assert.deepEqual([...auditor.page.faults, ...officer.page.faults], []);
});

/** The index follows the log a second behind. */
async function reloadUntil(page, shown) {
  for (let tries = 0; tries < 30; tries++) {
    await settle(page);
    if (await shown.isVisible()) return;
    await page.waitForTimeout(1000);
    await page.reload();
  }
  assert.fail("what was logged does not show");
}

/** The intent of the receipt's call: it keeps the input. */
async function intentOf(page) {
  const view = await (await page.context().request.get(`${scene.base}/audit/v1/records/${receipt}`)).json();
  return view.call.find((place) => place.kind === "intent").index;
}

test("a hold is placed, its release asked for, and not approved by who asked", async () => {
  const { page } = await openAs("dpo");
  await goTo(page, `/audit/holds?index=${receipt}`);
  await page.getByLabel("Reason").fill("A court asks.");
  await page.getByRole("button", { name: "Place the hold" }).click();
  await page.getByText("A court asks.").waitFor();
  await page.getByRole("button", { name: "Ask for its release" }).first().click();
  await page.getByText("Release waits for approval").waitFor();
  assert.equal(await page.getByRole("button", { name: "Approve the release" }).count(), 0);
  const custodian = await openAs("custodian");
  await goTo(custodian.page, "/audit/holds");
  await custodian.page.getByRole("button", { name: "Approve the release" }).click();
  await custodian.page.getByText("Released", { exact: true }).first().waitFor();
  assert.deepEqual([...page.faults, ...custodian.page.faults], []);
});
