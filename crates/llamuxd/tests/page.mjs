// SPDX-License-Identifier: GPL-2.0-only OR MIT
// Uses the page of a llamuxd in a browser; each test is a line of output.
// node page.mjs URL KEY CHROMIUM DIRECTORY-FOR-PICTURES

import assert from "node:assert/strict";
import path from "node:path";
import { chromium } from "playwright-core";

const [url, key, executablePath, pictures] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "light" });
const page = await context.newPage();
const complaints = [];
const elsewhere = [];
page.on("console", (message) => {
  // The first question for the models has no key yet.
  if (message.type() === "error" && !message.text().includes("401")) complaints.push(message.text());
});
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("request", (request) => {
  if (!request.url().startsWith(url) && !request.url().startsWith("data:")) elsewhere.push(request.url());
});
const picture = (name) => page.screenshot({ path: path.join(pictures, `${name}.png`) });
const status = () => page.locator("#status").textContent();
const answers = page.locator("article.assistant");

async function ask(question) {
  await page.fill("#question", question);
  await page.press("#question", "Enter");
}

let failed = 0;
async function test(name, run) {
  try {
    await run();
    console.log(`ok page_${name}`);
  } catch (error) {
    failed = 1;
    console.log(`FAILED page_${name}: ${String(error.message).replaceAll("\n", " ").slice(0, 500)}`);
  }
}

await test("asks_for_a_key", async () => {
  const response = await page.goto(url);
  assert.match(response.headers()["content-security-policy"], /default-src 'none'/);
  await page.waitForSelector("#key", { state: "visible" });
  assert.match(await status(), /key/);
  await page.fill("#key", key);
  await page.press("#key", "Tab");
  await page.waitForFunction(() => document.getElementById("model").options.length > 0);
  await page.click("summary");
});

await test("answers", async () => {
  await page.click("summary");
  await page.fill("#tokens", "24");
  await page.fill("#temperature", "0");
  await page.fill("#system", "You are brief.");
  await page.click("summary");
  await ask("Name three colours.");
  await page.waitForFunction(() => /tokens\/s/.test(document.getElementById("status").textContent), null, { timeout: 90000 });
  assert.equal(await page.locator("article.user").count(), 1);
  assert.ok((await answers.first().locator("p").textContent()).trim().length > 3);
  await picture("chat");
});

await test("shows_text_as_text", async () => {
  await ask("<img src=x onerror=alert(1)><b>bold</b>");
  await page.waitForFunction(() => document.getElementById("stop").disabled, null, { timeout: 90000 });
  assert.equal(await page.locator("#log img, #log b").count(), 0);
});

await test("stops", async () => {
  await page.click("summary");
  await page.fill("#tokens", "1500");
  await page.fill("#temperature", "1.5");
  await page.click("summary");
  await ask("Write a very long story about the sea.");
  await page.waitForFunction(() => document.querySelector("article:last-of-type.assistant p")?.textContent.length > 10, null, { timeout: 90000 });
  await page.click("#stop");
  await page.waitForFunction(() => /stopped/.test(document.getElementById("status").textContent));
  const before = await answers.last().textContent();
  await page.waitForTimeout(700);
  assert.equal(await answers.last().textContent(), before);
  assert.ok(await page.isEnabled("#send"));
});

await test("begins_anew_in_the_middle_of_an_answer", async () => {
  await page.click("summary");
  await ask("Write a very long story about the sky.");
  await page.waitForFunction(() => document.querySelector("article:last-of-type.assistant p")?.textContent.length > 10, null, { timeout: 90000 });
  await page.click("#clear");
  await page.waitForFunction(() => document.getElementById("stop").disabled);
  assert.equal(await page.locator("article").count(), 0);
  assert.equal(await status(), "");
  await page.fill("#tokens", "3");
  await page.click("summary");
  const asked = page.waitForRequest((request) => request.method() === "POST");
  await ask("Name a colour.");
  const { messages } = (await asked).postDataJSON();
  assert.deepEqual(messages.map(({ role }) => role), ["system", "user"]);
  await page.waitForFunction(() => document.getElementById("stop").disabled, null, { timeout: 90000 });
});

await test("shows_counters", async () => {
  await page.click("#show-metrics");
  await page.waitForFunction(() => document.querySelectorAll("#figures div").length > 0);
  await page.check("#all");
  assert.ok((await page.locator("#counters tbody tr").count()) > 10);
  await picture("metrics");
  await page.uncheck("#all");
  await page.click("#show-chat");
});

await test("fits_a_phone", async () => {
  await page.setViewportSize({ width: 360, height: 640 });
  for (const view of ["chat", "metrics"]) {
    await page.click(`#show-${view}`);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `${view} is ${width} wide`);
    for (const button of await page.locator(`header button, #${view} button:visible`).all()) {
      const box = await button.boundingBox();
      assert.ok(box.x >= 0 && box.x + box.width <= 360, await button.textContent());
    }
    await picture(`phone-${view}`);
  }
  await page.click("#show-chat");
});

await test("can_be_dark", async () => {
  const colour = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await colour();
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 1280, height: 800 });
  assert.notEqual(await colour(), light);
  await picture("dark");
});

await test("names_what_it_has", async () => {
  await page.click("summary");
  const unnamed = await page.evaluate(() =>
    [...document.querySelectorAll("button, input, select, textarea")]
      .filter((element) => !element.labels?.length && !element.textContent.trim() && !element.ariaLabel)
      .map((element) => element.outerHTML));
  assert.deepEqual(unnamed, []);
});

await test("complains_of_nothing_and_loads_nothing_else", async () => {
  assert.deepEqual(complaints, []);
  assert.deepEqual(elsewhere, []);
});

await browser.close();
process.exit(failed);
