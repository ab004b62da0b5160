import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { useBrowser } from "../console/browser.ts";
import { type Api, startApi } from "./api.ts";

const open = useBrowser();

let api: Api;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api[Symbol.asyncDispose]());

async function authorize(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Authorize" }).click();
  const bearer = page.locator(".auth-container", { hasText: "bearer" });
  await bearer.getByRole("textbox").fill(api.apiKey);
  await bearer.getByRole("button", { name: "Apply credentials" }).click();
  await page.getByRole("button", { name: "Close" }).last().click();
}

test("shows the document, and tries a path with a key, with nothing from elsewhere", async () => {
  const { id } = await api.jobIn("pending");
  await using opened = await open(`${api.httpUrl}/docs`, { viewport: { width: 1200, height: 1000 } });
  const { page, complaints } = opened;
  const asked: string[] = [];
  page.on("request", (request) => asked.push(request.url()));

  await authorize(page);
  const operation = page.locator("#operations-Batch_jobs-startBatchJob");
  await operation.locator(".opblock-summary").click();
  await operation.getByPlaceholder("batch_job_id").fill(id);
  await operation.getByRole("button", { name: "Execute" }).click();
  const answer = operation.locator(".live-responses-table .response");
  await answer.getByText("200", { exact: true }).waitFor();
  expect(await answer.innerText()).toContain('"contactsEnqueued": 3');

  expect(await api.ask("GET", `/batch/jobs/${id}`)).toMatchObject({ body: { status: "running" } });
  expect(asked.filter((url) => !url.startsWith(`${api.httpUrl}/`))).toEqual([]);
  expect(complaints).toEqual([]);
});

test("makes a job of the example, as it stands", async () => {
  await using opened = await open(`${api.httpUrl}/docs`, { viewport: { width: 1200, height: 1000 } });
  const { page } = opened;
  await authorize(page);
  const operation = page.locator("#operations-Batch_jobs-createBatchJob");
  await operation.locator(".opblock-summary").click();
  await operation.getByRole("button", { name: "Execute" }).click();
  const answer = operation.locator(".live-responses-table .response");
  await answer.getByText("200", { exact: true }).waitFor();
  expect(await answer.innerText()).toContain('"scheduledStartTime": "2035-03-01T15:00:00.000Z"');

  await operation.getByLabel("Request content type").selectOption("multipart/form-data");
  const file = {
    name: "contacts.csv",
    mimeType: "text/csv",
    buffer: Buffer.from("phone\n+14155550100\n+14155550101\n"),
  };
  await operation.locator("input[type=file]").setInputFiles(file);
  await operation.getByRole("button", { name: "Execute" }).click();
  await answer.getByText('"totalContacts": 2').waitFor();
});

test("is under the policy of the console", async () => {
  const page = await api.send("GET", "/docs");
  const console = await api.send("GET", "/");
  const policy = page.headers.get("content-security-policy");
  expect(policy).toContain("script-src 'self'");
  expect(policy).toBe(console.headers.get("content-security-policy"));
});
