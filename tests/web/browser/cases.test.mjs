/** What people do with records: samples, reviews, disclosure by four eyes, holds. Two people, two browsers. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { goTo, openAs, readVerdict, scene, settle } from "./browser.mjs";

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
  await auditor.page
    .getByRole("link", { name: /^Open record/ })
    .first()
    .click();
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
  return (await callOf(page, receipt)).find((place) => place.kind === "intent").index;
}

async function callOf(page, index) {
  return (await (await page.context().request.get(`${scene.base}/audit/v1/records/${index}`)).json()).call;
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

test("what was erased is gone, and its proofs still hold", async () => {
  const officer = await openAs("dpo");
  const index = (await callOf(officer.page, scene.receipts.at(-1))).find((place) => place.kind === "result").index;
  await goTo(officer.page, `/audit/erasures?indices=${index}`);
  await officer.page.getByLabel("Reason").fill("Recorded by mistake.");
  await officer.page.getByRole("button", { name: "Send to the key custodian" }).click();
  await officer.page.getByText("Waits for the key custodian").waitFor();
  assert.equal(await officer.page.getByRole("button", { name: "Approve and destroy the keys" }).count(), 0);
  const custodian = await openAs("custodian");
  await goTo(custodian.page, "/audit/erasures");
  await custodian.page.getByRole("button", { name: "Approve and destroy the keys" }).click();
  await custodian.page.getByText("Erased: the keys are destroyed").waitFor();
  await goTo(custodian.page, `/audit/records/${index}`);
  await custodian.page.getByText("Erased. Its proofs still hold.").waitFor();
  const { verdict, text } = await readVerdict(custodian.page);
  assert.equal(verdict, "passed", text);
  assert.deepEqual([...officer.page.faults, ...custodian.page.faults], []);
});

test("tables, a bundle and a report can be taken away", async () => {
  const { page } = await openAs("auditor");
  await goTo(page, "/audit/export?kind=receipt");
  const csv = await download(page, () => page.getByRole("link", { name: "CSV" }).click());
  assert.equal(csv.toString().trim().split("\n").length, scene.receipts.length + 1, csv.toString().slice(0, 400));
  const lines = await download(page, () => page.getByRole("link", { name: "JSON Lines" }).click());
  for (const line of lines.toString().trim().split("\n")) assert.equal(typeof JSON.parse(line), "object");
  const parquet = await download(page, () => page.getByRole("link", { name: "Parquet" }).click());
  assert.equal(parquet.subarray(0, 4).toString(), "PAR1");
  const pdf = await download(page, () => page.getByRole("link", { name: "PDF" }).click());
  assert.equal(pdf.subarray(0, 5).toString(), "%PDF-");
  await page.getByLabel("Record number or call id").fill(String(receipt));
  const bundle = await download(page, () => page.getByRole("link", { name: "Bundle", exact: true }).click());
  assert.equal(bundle.subarray(0, 2).toString(), "PK");
  assert.deepEqual(page.faults, []);
});

async function download(page, click) {
  const [started] = await Promise.all([page.waitForEvent("download"), click()]);
  return readFileSync(await started.path());
}
