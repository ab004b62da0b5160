import { expect, test } from "vitest";
import { createClient } from "@connectrpc/connect";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { eventually } from "../support/eventually.ts";
import { startTestService } from "../support/service.ts";
import { grpcTo } from "../support/transports.ts";
import { useBrowser } from "./browser.ts";

const open = useBrowser();

/** Text that would run if any page took it for HTML, marked with where it came from. */
const attack = (place: string): string =>
  `"><img src=x onerror="window.hit='${place}'"><script>window.hit='${place}'</script>javascript:${place}`;

const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;

test("text from anywhere is shown as text, wherever it is shown", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  const { batchJobId } = await client.createBatchJob({
    name: attack("name"),
    description: attack("description"),
    fromPhoneNumberId: attack("from").slice(0, 128),
    contacts: [
      {
        phone: "+15551000000",
        name: attack("contact"),
        fields: { [`<img src=x onerror=alert(1)>`]: attack("field") },
      },
    ],
    maxAttempts: 1,
  });
  await client.startBatchJob({ batchJobId });
  const worker = createClient(ContactWorkerService, grpcTo(service.grpcUrl, service.apiKey));
  const { contacts } = await worker.leaseContacts({
    workerId: attack("worker").slice(0, 128),
    maxContacts: 1,
    wait: { seconds: 10n },
  });
  const [{ leaseId = "" } = {}] = contacts;
  await worker.reportOutcomes({
    outcomes: [
      {
        leaseId,
        outcome: Outcome.FAILED,
        errorCode: attack("code").slice(0, 128),
        failureReason: attack("reason"),
        providerCallId: attack("call").slice(0, 128),
      },
    ],
  });

  await using opened = await open(service.httpUrl, service);
  const { page, complaints } = opened;
  await page.getByText(attack("name")).waitFor();
  await page.getByRole("searchbox").fill(attack("search").slice(0, 100));
  await page.getByText("No job matches.").waitFor();
  await page.goto(`${service.httpUrl}/jobs/${batchJobId}`);
  for (const place of ["name", "description"]) await page.getByText(attack(place)).first().waitFor();
  await page.getByRole("link", { name: "Settings" }).click();
  await eventually(async () =>
    expect(await page.getByLabel("Call from").inputValue()).toBe(attack("from").slice(0, 128)),
  );
  await page.getByRole("link", { name: "Contacts", exact: true }).click();
  await page.getByText(attack("contact")).first().waitFor();
  await page.getByRole("link", { name: "+15551000000" }).click();
  for (const place of ["contact", "field", "reason"]) await page.getByText(attack(place)).first().waitFor();
  for (const place of ["worker", "code", "call"]) {
    await page.getByText(attack(place).slice(0, 128)).first().waitFor();
  }

  // A file's titles, cells and name, and what the address says. A title is no longer than this.
  const title = `<img src=x onerror="window.hit='title'">`;
  await page.goto(`${service.httpUrl}/jobs/new`);
  await page.getByLabel("File of contacts").setInputFiles({
    name: `<img src=x onerror=alert(1)>.csv`,
    mimeType: "text/csv",
    buffer: Buffer.from(
      `phone,${quoted(title)}\n+15551000001,${quoted(attack("cell"))}\n${quoted(attack("phone"))},x`,
    ),
  });
  await page.locator("[aria-label='The first rows'] bdi", { hasText: title }).waitFor();
  await page.locator("[aria-label='The first rows'] bdi", { hasText: attack("cell") }).waitFor();
  await page.getByText("1 row will not be sent").click();
  await page
    .locator("[aria-label='Rows that will not be sent'] bdi", { hasText: attack("phone").slice(0, 50) })
    .waitFor();
  await page.goto(
    `${service.httpUrl}/jobs/x/${encodeURIComponent(attack("address"))}?search=${encodeURIComponent(attack("query"))}`,
  );
  await page.getByText("There is no such page.").waitFor();

  expect(await page.evaluate("window.hit")).toBeUndefined();
  expect(complaints).toEqual([]);
});

test("a script that got into the page all the same would not run", async () => {
  await using service = await startTestService();
  await using opened = await open(service.httpUrl);
  const { page, complaints } = opened;
  await page.evaluate(
    `document.body.insertAdjacentHTML("beforeend", '<img src="data:," onerror="window.hit = 1">');
     const script = document.createElement("script"); script.textContent = "window.hit = 2"; document.body.append(script);
     fetch("http://127.0.0.1:9/").catch(() => {});`,
  );
  await page.evaluate("new Promise(requestAnimationFrame)");
  expect(await page.evaluate("window.hit")).toBeUndefined();
  expect(complaints.join("\n")).toMatch(/Content Security Policy/);
});
