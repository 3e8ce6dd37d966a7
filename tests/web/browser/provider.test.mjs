/** Signing in at the organisation's own provider: the certified oidc-provider, in a real browser. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { goTo, open } from "./browser.mjs";

/** Through the provider's own forms: name, any password, consent. */
async function signInAs(page, name) {
  await goTo(page, "/audit");
  await page.getByRole("link", { name: "Sign in with your organisation" }).click();
  await page.locator("input[name=login]").fill(name);
  await page.locator("input[name=password]").fill("anything");
  await page.locator("button[type=submit]").click();
  await page.getByRole("button", { name: "Continue" }).click();
}

test("somebody whom the provider knows comes in with the mapped role", async () => {
  const { context, page } = await open();
  await signInAs(page, "grace");
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  const signedIn = page.locator(".signed-in");
  assert.match(await signedIn.innerText(), /auditor/);
  const cookie = (await context.cookies()).find((one) => one.name === "affidavit_session");
  assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, "Strict"]);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { level: 1, name: "Sign in" }).waitFor();
  assert.deepEqual(page.faults, []);
});

test("somebody without a mapped role stays outside", async () => {
  const { context, page } = await open();
  await signInAs(page, "mallory");
  await page.getByText("Not signed in").waitFor();
  assert.equal(await page.locator("h1").innerText(), "Sign in");
  assert.equal(
    (await context.cookies()).some((one) => one.name === "affidavit_session"),
    false,
  );
});
