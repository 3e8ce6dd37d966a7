/** A lying server, and a chain that disagrees: the browser finds each out by itself. The attacks stand before the truth. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { goTo, openAs, readVerdict, scene } from "./browser.mjs";

const receipt = scene.receipts[0];

/** Opens the receipt with `lie` between server and browser; the verification must fail, first at step `number`. */
async function failsAt(number, lie) {
  const { context, page } = await openAs("auditor");
  await lie(context);
  await goTo(page, `/audit/records/${receipt}`);
  const { verdict, steps, text } = await readVerdict(page);
  assert.equal(verdict, "failed", text);
  const failed = Object.entries(steps)
    .filter(([, status]) => status === "failed")
    .map(([step]) => Number(step));
  assert.equal(failed[0], number, text);
  assert.match(text, /Does not hold/);
  await context.close();
}

const changing = (pattern, change) => (context) =>
  context.route(pattern, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: change(await response.body()) });
  });

const inRecord = (change) =>
  changing(new RegExp(`/audit/v1/records/${receipt}$`), (body) => {
    const view = JSON.parse(body.toString());
    return JSON.stringify({ ...view, ...change(view) });
  });

function flip(body, at) {
  const changed = Buffer.from(body);
  changed[at] ^= 1;
  return changed;
}

const text = (encoded) => Buffer.from(encoded, "base64").toString();
const encode = (plain) => Buffer.from(plain).toString("base64");

test("a record whose bytes were changed", () =>
  failsAt(
    2,
    inRecord((view) => ({
      record_base64: encode(
        text(view.record_base64)
          .replace(/"audit\.gas_used":(\d+)/, '"audit.gas_used":1$1')
          .replace('"audit.actor":"', '"audit.actor":"x'),
      ),
    })),
  ));

test("a record that is not canonical", () =>
  failsAt(
    1,
    inRecord((view) => ({ record_base64: encode(text(view.record_base64).replace("{", "{ ")) })),
  ));

test("the proof of another record", () =>
  failsAt(
    2,
    inRecord((view) => ({ proof: view.proof.replace(/index \d+/, "index 0") })),
  ));

test("a proof whose checkpoint has a false signature", () =>
  failsAt(
    3,
    inRecord((view) => ({
      proof: view.proof.replace(/(— affidavit\.local\/log .{20})(.)/, (_all, front, digit) => front + (digit === "A" ? "B" : "A")),
    })),
  ));

test("a checkpoint that another key signed", async () => {
  await failsAt(
    3,
    changing("**/audit/v1/settings", (body) => {
      const settings = JSON.parse(body.toString());
      return JSON.stringify({ ...settings, vkey: "affidavit.local/log+00000000+AQ==" });
    }),
  );
});

test("a hidden record of the call", () =>
  failsAt(
    5,
    inRecord((view) => ({ call: view.call.slice(1) })),
  ));

test("a tile whose hash was changed", () =>
  failsAt(
    4,
    changing("**/log/tile/0/**", (body) => flip(body, 32 * ((receipt + 1) % Math.floor(body.length / 32)) + 3)),
  ));

test("a bundle with another record", () =>
  failsAt(4, async (context) => {
    const view = await (await context.request.get(`${scene.base}/audit/v1/records/${receipt}`)).json();
    await changing("**/log/tile/entries/**", (body) => flip(body, body.indexOf(Buffer.from(view.record_base64, "base64")) + 20))(context);
  }));

test("a newest checkpoint that was changed", () =>
  failsAt(
    4,
    changing("**/log/checkpoint", (body) => flip(body, body.indexOf("\n") + 1)),
  ));

const older = (context) =>
  context.route("**/log/checkpoint", (route) => route.fulfill({ status: 200, contentType: "text/plain", body: scene.older }));

test("a log that shows an older checkpoint of its own than the proof leads to", () => failsAt(4, older));

test("a log that was truncated behind its anchor", async () => {
  const { context, page } = await openAs("auditor");
  await older(context);
  await goTo(page, "/audit");
  const { verdict, steps, text } = await readVerdict(page);
  assert.equal(verdict, "failed", text);
  assert.deepEqual([steps[3], steps[6]], ["passed", "failed"], text);
  await context.close();
});

const witnessed =
  (body, status = 200) =>
  (context) =>
    context.route("**/log/witnessed", async (route) => route.fulfill({ status, contentType: "text/plain", body: await body(route) }));

test("a false cosignature of a witness", () =>
  failsAt(
    10,
    witnessed(async (route) => {
      const note = await (await route.fetch()).text();
      const at = note.lastIndexOf("=") - 9;
      return note.slice(0, at) + (note[at] === "A" ? "B" : "A") + note.slice(at + 1);
    }),
  ));

/** The older checkpoint with the log's own signature alone. */
const unsigned = scene.older
  .split("\n")
  .filter((line) => !line.startsWith("— ") || line.startsWith("— affidavit.local/log "))
  .join("\n");

test("a checkpoint that no witness signed", () =>
  failsAt(
    10,
    witnessed(() => unsigned),
  ));

test("a log that shows no cosigned checkpoint at all", () =>
  failsAt(
    10,
    witnessed(() => "none", 404),
  ));

test("a chain whose anchor has another root", () =>
  failsAt(
    6,
    anchorAs((size, root) => [size, root.replace(/.$/, (digit) => (digit === "0" ? "1" : "0"))]),
  ));

test("a chain whose anchor is larger than the log", () =>
  failsAt(
    6,
    anchorAs((_size, root) => [1_000_000n, root]),
  ));

test("another chain than the one that was named", () =>
  failsAt(6, (context) =>
    context.route(isRpc, async (route) => {
      if (route.request().postDataJSON()?.method !== "eth_chainId") return route.continue();
      return answer(route, "0x1");
    }),
  ));

/** Requests of the verifier to the chain; the browser asks for permission first, by a request without a body. */
const isRpc = (url) => url.href.startsWith(scene.rpc);

function anchorAs(change) {
  return (context) =>
    context.route(isRpc, async (route) => {
      if (route.request().postDataJSON()?.method !== "eth_call") return route.continue();
      const { result } = await (await route.fetch()).json();
      const [size, root] = change(BigInt(`0x${result.slice(2, 66)}`), result.slice(66));
      return answer(route, `0x${size.toString(16).padStart(64, "0")}${root}`);
    });
}

function answer(route, result) {
  const { id } = route.request().postDataJSON();
  return route.fulfill({
    status: 200,
    headers: { "access-control-allow-origin": "*" },
    contentType: "application/json",
    body: JSON.stringify({ jsonrpc: "2.0", id, result }),
  });
}

test("a log that goes back between two visits is found out by this browser's memory", async () => {
  const { context, page } = await openAs("auditor");
  await goTo(page, `/audit/records/${receipt}`);
  assert.equal((await readVerdict(page)).verdict, "passed");
  await page.evaluate(() => {
    const name = Object.keys(localStorage).find((key) => key.startsWith("affidavit.seen."));
    const [size, root] = localStorage.getItem(name).split(" ");
    localStorage.setItem(name, `${size} ${root.replace(/.$/, (digit) => (digit === "0" ? "1" : "0"))}`);
  });
  await page.reload();
  const { verdict, steps } = await readVerdict(page);
  assert.equal(verdict, "failed");
  assert.equal(steps[8], "failed");
  await context.close();
});

test("an endpoint that does not answer proves nothing either way", async () => {
  const { context, page } = await openAs("auditor");
  await context.route(isRpc, (route) => route.abort());
  await goTo(page, `/audit/records/${receipt}`);
  const { verdict, steps } = await readVerdict(page);
  assert.equal(verdict, "unreachable");
  assert.deepEqual([steps[4], steps[6], steps[7], steps[9]], ["passed", "unreachable", "skipped", "unreachable"]);
  await context.close();
});

test("the auditor's own key is trusted instead of the server's, and said to be", async () => {
  const { context, page } = await openAs("auditor");
  await goTo(page, "/audit/settings");
  await page.getByLabel("The log's verifier key").fill("other.example/log+1397c29a+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4");
  await page.getByRole("button", { name: "Keep in this browser" }).click();
  await page.getByText("verifier key id").waitFor();
  await page.getByLabel("The log's verifier key").fill("log.example/affidavit+1397c29a+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4");
  await page.getByRole("button", { name: "Keep in this browser" }).click();
  await page.getByText("Kept in this browser.").waitFor();
  await goTo(page, `/audit/records/${receipt}`);
  const other = await readVerdict(page);
  assert.equal(other.verdict, "failed");
  assert.equal(other.steps[3], "failed");
  assert.match(other.text, /the log key you entered/);
  await goTo(page, "/audit/settings");
  await page.getByLabel("The log's verifier key").fill(scene.vkey);
  await page.getByRole("button", { name: "Keep in this browser" }).click();
  await page.getByText("Kept in this browser.").waitFor();
  await goTo(page, `/audit/records/${receipt}`);
  assert.equal((await readVerdict(page)).verdict, "passed");
  await context.close();
});
