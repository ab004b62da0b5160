import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import axe from "axe-core";
import type { Page } from "playwright-core";
import { type Rolldown, build } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import config from "../../../src/console/vite.config.ts";
import { eventually } from "../../support/eventually.ts";
import { root } from "../../support/readme.ts";
import { focusIsOn, useBrowser } from "../browser.ts";

const open = useBrowser();
const files = new Map<string, string | Uint8Array>();
const types: Readonly<Record<string, string>> = { js: "text/javascript", css: "text/css" };
const server = createServer((request, response) => {
  const body = files.get(request.url ?? "");
  const type = types[request.url?.split(".").at(-1) ?? ""] ?? "text/html";
  response.writeHead(body === undefined ? 503 : 200, { "content-type": type }).end(body);
});
let url = "";

/** Built as the console is. */
beforeAll(async () => {
  const input = join(root, "test/console/components/stage.tsx");
  const built = (await build({
    ...config,
    configFile: false,
    logLevel: "warn",
    build: {
      ...config.build,
      write: false,
      manifest: false,
      rolldownOptions: { input, checks: { pluginTimings: false } },
    },
  })) as Rolldown.RolldownOutput;
  for (const each of built.output)
    files.set(`/${each.fileName}`, each.type === "chunk" ? each.code : each.source);
  const tags = built.output.flatMap((each) => {
    if (each.fileName.endsWith(".css")) return [`<link rel="stylesheet" href="/${each.fileName}">`];
    return each.type === "chunk" && each.isEntry
      ? [`<script type="module" src="/${each.fileName}"></script>`]
      : [];
  });
  files.set(
    "/",
    `<!doctype html><html lang="en"><title>Stage</title><meta name="callsheet-base" content="./">${tags.join("")}<main><h1>Stage</h1><div id="stage"></div></main>`,
  );
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}/`;
}, 120_000);
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

const toldTo = async (page: Page): Promise<unknown[]> => await page.evaluate("told");

async function isClean(page: Page): Promise<void> {
  await page.evaluate(axe.source);
  expect(await page.evaluate("axe.run().then(({ violations }) => violations.map(({ id }) => id))")).toEqual(
    [],
  );
}

test("a table draws the row that changes and no other, and tells which rows are seen", async () => {
  await using opened = await open(`${url}#table`);
  const { page, complaints } = opened;
  const told = async (word: string) =>
    (await toldTo(page)).flatMap((each) => {
      const [kind, id] = each as [string, number];
      return kind === word ? [id] : [];
    });
  await page.getByRole("columnheader", { name: "Pick" }).waitFor();
  await page.getByRole("cell", { name: "In all" }).waitFor();
  await eventually(async () => expect(await told("seen")).toContain(0));
  expect(await told("seen")).not.toContain(199);
  expect(await told("drawn")).toHaveLength(200);
  await page.evaluate("stage.count(3)");
  await page.getByRole("row").nth(4).getByText("1", { exact: true }).waitFor();
  expect((await told("drawn")).slice(200)).toEqual([3]);
  await page.getByLabel("Pick 199").scrollIntoViewIfNeeded();
  await eventually(async () => expect(await told("seen")).toContain(199));
  await eventually(async () => expect(await told("left")).toContain(0));
  await isClean(page);
  expect(complaints).toEqual([]);
});

test("a form is sent once at a time, not while something is missing, and says what came of it", async () => {
  await using opened = await open(`${url}#form`);
  const { page, complaints } = opened;
  const send = page.getByRole("button", { name: "Send" });
  await send.click();
  await page.getByText("Give a name.").waitFor();
  await focusIsOn(page, "Give a name.");
  expect(await toldTo(page)).toEqual([]);

  await page.getByRole("button", { name: "Give it" }).click();
  await send.dblclick();
  await eventually(async () => expect(await send.getAttribute("aria-disabled")).toBe("true"));
  expect(await page.getByText("Give a name.").count()).toBe(0);
  expect(await toldTo(page)).toEqual([["sent"]]);

  // A refusal leaves the form as it was, to be sent again.
  await page.evaluate("stage.refuse('Somebody was faster.')");
  await page.getByText("Somebody was faster.").waitFor();
  await focusIsOn(page, "Somebody was faster.");

  // What was wrong is not said of what is changed since.
  await page.getByLabel("Anything").fill("else");
  await page.getByText("Somebody was faster.").waitFor({ state: "detached" });
  await send.click();
  await page.evaluate("stage.answer('It is saved.')");
  await page.getByText("It is saved.").waitFor();
  expect(await toldTo(page)).toEqual([["sent"], ["sent"]]);
  await isClean(page);
  expect(complaints).toEqual([]);
});

test("a dialog keeps the focus, is closed by Escape unless it is held, and gives the focus back", async () => {
  await using opened = await open(`${url}#dialog`);
  const { page, complaints } = opened;
  const dialog = page.getByRole("dialog", { name: "A dialog" });
  await page.getByRole("button", { name: "Open" }).click();
  await dialog.getByRole("button", { name: "Hold" }).click();
  await dialog.getByRole("button", { name: "Let go" }).waitFor();
  await page.keyboard.press("Escape");
  expect(await dialog.isVisible()).toBe(true);
  await isClean(page);
  await dialog.getByRole("button", { name: "Let go" }).click();
  await dialog.getByRole("button", { name: "Hold" }).waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  await focusIsOn(page, "Open");
  expect(complaints).toEqual([]);
});

test.each([
  [
    "Start now",
    "Start the calls",
    ["1 person will be called, at most 1 call at once.", "It starts now instead of"],
  ],
  ["Resume", "Go on with the calls", ["1 person is left to be called, at most 1 call at once."]],
  [
    "Cancel job",
    "Cancel the job",
    ["It will not start at its time.", "1 contact that is still open", "2 calls in progress"],
  ],
  ["Delete", "Delete the job", ["It will not start at its time.", "its 12 contacts and the history"]],
])(
  "%s asks in the job's own figures, and does nothing to a job that has changed meanwhile",
  async (label, yes, sentences) => {
    await using opened = await open(`${url}#commands`);
    const { page, complaints } = opened;
    await page.getByRole("button", { name: label }).click();
    const dialog = page.getByRole("dialog");
    for (const sentence of sentences) await dialog.getByText(sentence).waitFor();
    await dialog.getByRole("button", { name: yes }).click();
    expect(await toldTo(page)).toEqual([["confirmed", 1]]);
    await isClean(page);

    await page.evaluate("stage.change()");
    await dialog.getByText("Status: Scheduled → Running").waitFor();
    await dialog.getByRole("button", { name: yes }).dispatchEvent("click");
    expect(await toldTo(page)).toHaveLength(1);
    await dialog.getByRole("button", { name: "Go on with the job as it is now" }).click();
    await dialog.getByRole("button", { name: yes }).click();
    expect((await toldTo(page)).at(-1)).toEqual(["confirmed", 2]);
    expect(complaints).toEqual([]);
  },
);

test("Pause is sent at one click: there is nothing that it asks", async () => {
  await using opened = await open(`${url}#commands`);
  const { page } = opened;
  await page.getByRole("button", { name: "Pause" }).click();
  expect(await page.getByRole("dialog").count()).toBe(0);
});

test("a start time is what the service takes it for, and what is wrong with it stands where it is wrong", async () => {
  await using opened = await open(`${url}#picker`);
  const { page, complaints } = opened;
  const zone = page.getByLabel("Time zone");
  await page.getByLabel("Date").fill("2035-11-04");
  await page.getByLabel("Time", { exact: true }).fill("01:30");
  await zone.fill("America/New_York");
  expect((await toldTo(page)).at(-1)).toEqual([
    "picked",
    { date: "2035-11-04", time: "01:30", zone: "America/New_York" },
  ]);

  await page.evaluate("stage.outside('asking')");
  await page.getByText("Asking the service what that means").waitFor();
  await page.evaluate("stage.outside('zone')");
  await page.getByText("No such zone.").waitFor();
  expect(await zone.getAttribute("aria-invalid")).toBe("true");
  await page.evaluate("stage.outside('time')");
  await page.getByText("No clock shows it.").waitFor();
  expect(await zone.getAttribute("aria-invalid")).toBeNull();
  await isClean(page);

  await page.evaluate("stage.outside('read')");
  const meaning = page.getByRole("group", { name: "What this time means" });
  await meaning.getByText("Sun, 4 Nov 2035, 01:30 UTC-04:00").waitFor();
  await meaning.getByText("2035-11-04T05:30:00Z").waitFor();
  await meaning.getByText("Sun, 4 Nov 2035, 06:30 by this computer’s clock").waitFor();
  await meaning.getByText("This time comes twice that day").waitFor();
  await isClean(page);
  expect(complaints).toEqual([]);
});

test("a file is read step by step: its country, its titles, its columns, and another file instead", async () => {
  await using opened = await open(`${url}#file`);
  const { page, complaints } = opened;
  const ready = page.locator("output");
  const choose = async (name: string, text: string) =>
    await page
      .getByLabel("File of contacts")
      .setInputFiles({ name, mimeType: "text/csv", buffer: Buffer.from(text) });
  await choose("spring.csv", "Telefon;Name;Notiz\n030 901820;Ada;a\n0151 23456789;Bob;b\n030 901820;Eve;c\n");
  await page.getByText("Choose the country above").first().waitFor();
  await eventually(async () => expect(await ready.innerText()).toBe("0 can be sent"));
  await page.getByLabel("Numbers without a plus sign are of").selectOption("DE");
  await eventually(async () => expect(await ready.innerText()).toBe("2 can be sent"));

  // Without titles their row is one like the others, and no number.
  await page.getByLabel("The first row names the columns").uncheck();
  await page.getByText("4 rows ·").waitFor();
  await page.getByLabel("The first row names the columns").check();
  await page.getByText("3 rows ·").waitFor();
  await page.getByLabel("Read “Name” as").selectOption("Phone number");
  await eventually(async () => expect(await ready.innerText()).toBe("0 can be sent"));
  expect(await page.getByLabel("Read “Telefon” as").inputValue()).toBe("field");
  await page.getByLabel("Read “Telefon” as").selectOption("Phone number");
  await eventually(async () => expect(await ready.innerText()).toBe("2 can be sent"));
  for (const title of ["Name", "Notiz"]) await page.getByLabel(`Read “${title}” as`).selectOption("Name");
  await page.getByRole("cell", { name: "Ada a", exact: true }).waitFor();
  await isClean(page);

  await choose("empty.csv", "");
  await page.getByRole("alert").waitFor();
  await eventually(async () => expect(await ready.innerText()).toBe("0 can be sent"));
  await choose("autumn.csv", "phone\n+15551000000\n");
  await eventually(async () => expect(await ready.innerText()).toBe("1 can be sent"));
  expect(complaints).toEqual([]);
});

test("a review tells who is on the list of the never called from who was erased, as far as it was looked up", async () => {
  await using opened = await open(`${url}#review`);
  const { page, complaints } = opened;
  const said = async () => (await page.getByRole("status").allInnerTexts()).join(" ").replaceAll(/\s+/g, " ");
  const know = async (known: object) => await page.evaluate(`stage.outside(${JSON.stringify(known)})`);
  await page.getByRole("progressbar", { name: "Looked up" }).waitFor();

  await know({ asked: 2_000, isDone: true });
  await page.getByText("Nobody is on the never-call list.").waitFor();
  expect(await said()).not.toContain("erased");

  await know({ asked: 2_000, isDone: true, erased: ["+15551000000"] });
  await page.getByText("1 person was erased, and will not be in the job.").waitFor();
  await page.getByText("Nobody is on the never-call list.").waitFor();
  await isClean(page);

  const listed = ["+15551000001", "+15551000002"];
  await know({ asked: 1_000, isDone: true, listed, erased: ["+15551000000", "+15551000003"] });
  await page
    .getByText("2 of the first 1,000 people are on the never-call list, and will not be called.")
    .waitFor();
  await page.getByText("2 of the first 1,000 people were erased, and will not be in the job.").waitFor();
  for (const summary of await page.getByText("Their numbers").all()) await summary.click();
  expect((await page.getByRole("region", { name: "Who is never called" }).innerText()).split("\n")).toEqual(
    listed,
  );
  expect(await page.getByRole("region", { name: "Who was erased" }).innerText()).not.toContain(listed[0]);
  await isClean(page);
  expect(complaints).toEqual([]);
});

test("of jobs that change all the time a page is told at once, then once a second, the last word on each", async () => {
  await using opened = await open("about:blank");
  const { page, complaints } = opened;
  await page.clock.install();
  await page.goto(`${url}#none`);
  await page.clock.pauseAt((await page.evaluate<number>("Date.now()")) + 1_000);
  const say = async (names: readonly string[]) =>
    await page.evaluate(`stage.say(${JSON.stringify(names.map((name) => [name[0], name]))})`);
  await page.evaluate("stage.followJobs()");
  await page.clock.runFor(100);
  await say(Array.from({ length: 1_000 }, (_, i) => `${i % 2 === 0 ? "a" : "b"}${i}`));
  expect(await toldTo(page)).toEqual([["heard"]]);
  await page.clock.runFor(1);
  const first = [["heard"], ["jobs", "a998", "b999"]];
  expect(await toldTo(page)).toEqual(first);

  await say(["a1000"]);
  await page.clock.runFor(500);
  await say(["a1001"]);
  await page.clock.runFor(450);
  expect(await toldTo(page)).toEqual(first);
  await page.clock.runFor(100);
  expect(await toldTo(page)).toEqual([...first, ["jobs", "a1001"]]);

  // After a while in which nothing was said the next word is told at once.
  await page.clock.runFor(5_000);
  await say(["b1002"]);
  await page.clock.runFor(1);
  expect(await toldTo(page)).toEqual([...first, ["jobs", "a1001"], ["jobs", "b1002"]]);
  expect(complaints).toEqual([]);
});
