import { afterAll, beforeAll, expect, test } from "vitest";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { badge, useBrowser } from "./browser.ts";

const open = useBrowser();
const stack = new AsyncDisposableStack();
let service: Awaited<ReturnType<typeof startTestService>>;
beforeAll(async () => {
  service = stack.use(await startTestService({ basePath: "/apps/callsheet" }));
});
afterAll(() => stack.disposeAsync());

const make = (name: string) =>
  service
    .clientWith(service.apiKey)
    .createBatchJob({ name, fromPhoneNumberId: "pn_1", contacts: makeContacts(3) });

test("the console is under the path with all that it has, deep links included", async () => {
  const { batchJobId } = await make("Under a path");
  // As somebody types it, without the slash.
  await using opened = await open(service.httpUrl, { apiKey: service.apiKey });
  const { page, complaints } = opened;
  expect(new URL(page.url()).pathname).toBe("/apps/callsheet/");
  await page.getByRole("link", { name: "Under a path" }).click();
  await badge(page, "Pending").waitFor();
  await page.goto(`${service.httpUrl}/jobs/${batchJobId}`);
  await page.reload();
  await badge(page, "Pending").waitFor();
  // An address of a console before.
  await page.goto("about:blank");
  await page.goto(`${service.httpUrl}/#/jobs/${batchJobId}`);
  await badge(page, "Pending").waitFor();
  expect(new URL(page.url()).pathname).toBe(`/apps/callsheet/jobs/${batchJobId}`);
  // Its reader of files is a worker with a file of its own.
  await page.goto(`${service.httpUrl}/jobs/new`);
  await page.setInputFiles("input[type=file]", {
    name: "a.csv",
    mimeType: "text/csv",
    buffer: Buffer.from("phone\n+14155550101\n"),
  });
  await page.getByText("1 ready to send").waitFor();
  expect(complaints).toEqual([]);
});

test("the page of the HTTP paths shows the document, whose paths are under the path", async () => {
  await using opened = await open(`${service.httpUrl}/docs`);
  await opened.page.getByText("/batch/jobs/{batch_job_id}/start", { exact: false }).first().waitFor();
  expect(opened.complaints).toEqual([]);
  const document = (await (await fetch(`${service.httpUrl}/openapi.json`)).json()) as { servers: unknown };
  expect(document.servers).toEqual([{ url: "/apps/callsheet", description: "This service." }]);
});

test("what the style sheets of the pages name is under the path, too", async () => {
  const told: [string, number][] = [];
  for (const name of ["", "docs"]) {
    const page = `${service.httpUrl}/${name}`;
    const html = await (await fetch(page)).text();
    for (const [, href = ""] of html.matchAll(/<link[^>]* rel="stylesheet"[^>]* href="([^"]+)"/g)) {
      const sheet = new URL(href, page);
      for (const [, named = ""] of (await (await fetch(sheet)).text()).matchAll(/url\("?([^")]+)"?\)/g)) {
        const { status } = await fetch(new URL(named, sheet));
        told.push([named, status]);
      }
    }
  }
  expect(told.length).toBeGreaterThan(0);
  expect(told.filter(([, status]) => status !== 200)).toEqual([]);
});

test("the HTTP paths are under the path and nowhere else, and what watches over a replica is at both", async () => {
  const { batchJobId } = await make("Over HTTP");
  const { origin } = new URL(service.httpUrl);
  const status = async (url: string, method = "GET") => {
    const headers = { authorization: `Bearer ${service.apiKey}` };
    return (await fetch(url, { method, headers })).status;
  };
  expect(await status(`${service.httpUrl}/batch/jobs/${batchJobId}/start`, "POST")).toBe(200);
  expect(await status(`${service.httpUrl}/batch-jobs/${batchJobId}/contacts.csv`)).toBe(200);
  for (const path of ["/healthz", "/readyz", "/metrics"]) {
    expect([path, await status(`${origin}${path}`)]).toEqual([path, 200]);
    expect([path, await status(`${service.httpUrl}${path}`)]).toEqual([path, 200]);
  }
  const elsewhere = [
    "/",
    "/docs",
    "/batch/jobs",
    `/batch-jobs/${batchJobId}/contacts.csv`,
    "/apps/callsheets/",
  ];
  for (const path of elsewhere) expect([path, await status(`${origin}${path}`)]).toEqual([path, 404]);
});
