import { createClient } from "@connectrpc/connect";
import { afterAll, expect, test } from "vitest";
import { AccessService } from "../../src/gen/callsheet/v1/access_service_pb.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { SuppressionService } from "../../src/gen/callsheet/v1/suppression_service_pb.ts";
import { makeApiKey } from "../support/api-key.ts";
import { eventually } from "../support/eventually.ts";
import { startTestService } from "../support/service.ts";
import { connectTo } from "../support/transports.ts";
import { useBrowser } from "./browser.ts";

const open = useBrowser();
const service = await startTestService();
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

const transport = () => connectTo(service.httpUrl, service.apiKey);

test("an admin makes a key that works, sees it once, and revokes it after being asked", async () => {
  await using opened = await open(service.httpUrl, service);
  const { page, complaints } = opened;
  await page.getByRole("link", { name: "People and keys" }).click();
  await page.getByRole("button", { name: "Make a key" }).click();
  await page.getByText("Say whom or what the key is for.").waitFor();
  await page.getByLabel("For whom, or for what").fill("Ada Lovelace");
  await page.getByLabel("Role").selectOption({ label: "viewer: looks, and changes nothing" });
  await page.getByRole("button", { name: "Make a key" }).click();
  const secret = await page.locator("[data-secret]").innerText();
  expect(await service.clientWith(secret).listBatchJobs({})).toMatchObject({ batchJobs: [] });
  await page.getByRole("button", { name: "It is kept; hide it" }).click();
  await page.locator("[data-secret]").waitFor({ state: "detached" });

  const row = page.getByRole("row", { name: "Ada Lovelace" });
  await row.getByText("viewer").waitFor();
  await row.getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("button", { name: "Revoke the key" }).click();
  await row.getByText("revoked").waitFor();
  await eventually(
    async () => await expect(service.clientWith(secret).listBatchJobs({})).rejects.toThrow("valid API key"),
    10_000,
  );
  expect(complaints).toEqual([]);
});

test("who is no admin finds no keys, and no settings of the organization", async () => {
  const { key } = await makeApiKey(db, { role: "operator" });
  await using opened = await open(`${service.httpUrl}/keys`, { apiKey: key });
  const { page } = opened;
  await page.getByText("There is no such page.").waitFor();
  const places = page.getByRole("navigation", { name: "Parts of the console" });
  expect(await places.getByRole("link").allInnerTexts()).toEqual(["Jobs", "Never call"]);
});

test("a phone is put on the list of those never called, found there, and taken off again", async () => {
  const suppression = createClient(SuppressionService, transport());
  await using opened = await open(service.httpUrl, service);
  const { page, complaints } = opened;
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  await page.route("**/phones-*.js", async (route) => {
    await released;
    await route.continue();
  });
  await page.getByRole("link", { name: "Never call" }).click();
  await page.getByText("Nobody is on the list.").waitFor();
  await page.getByLabel("Phone numbers").fill("+1 415-555-0100\n0151\n(415) 555-0101");
  await page.getByRole("button", { name: "Add to the list" }).click();
  await page.getByText("The countries are still being loaded.").waitFor();
  release();
  // Of a guessed country it would be somebody else who is not called.
  await page.getByText("Choose the country of the numbers without a plus sign.").waitFor();
  await page.getByLabel("Numbers without a plus sign are of").selectOption("United States");
  await page.getByRole("button", { name: "Add to the list" }).click();
  await page.getByText("2 phones added. Not phone numbers: 0151.").waitFor();
  expect(await page.getByLabel("Phone numbers").inputValue()).toBe("0151");
  await page.getByRole("cell", { name: "+14155550100" }).waitFor();

  await page.getByLabel("Phone number", { exact: true }).fill("415 555 0100");
  await page.getByRole("button", { name: "Look" }).click();
  await page.getByText("is on the list: asked not to be called.").waitFor();
  await page.getByRole("button", { name: "Take it off the list" }).click();
  await page.getByRole("cell", { name: "+14155550100" }).waitFor({ state: "detached" });
  const { suppressedPhones } = await suppression.listSuppressedPhones({});
  expect(suppressedPhones.map(({ phone }) => phone)).toEqual(["+14155550101"]);
  expect(complaints).toEqual([]);
});

test("the phone of a person who was erased is said to be that, and cannot be taken off", async () => {
  const jobs = createClient(BatchJobService, transport());
  await jobs.eraseContacts({ phone: "+14155550177", reason: "asked for it" });
  await using opened = await open(`${service.httpUrl}/never-call`, service);
  const { page, complaints } = opened;
  await page.getByLabel("Phone number", { exact: true }).fill("+1 415 555 0177");
  await page.getByRole("button", { name: "Look" }).click();
  await page.getByText("is the number of a person who was erased: nobody calls it").waitFor();
  expect(await page.getByRole("button", { name: "Take it off the list" }).count()).toBe(0);
  expect(complaints).toEqual([]);
});

test("settings of the organization are changed, hours included, and others stay as they are", async () => {
  const access = createClient(AccessService, transport());
  await access.updateOrganization({ settings: { rateRead: 500 } });
  await using opened = await open(`${service.httpUrl}/organization`, service);
  const { page, complaints } = opened;
  await page.getByLabel("Calls at once, at most").fill("many");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("“Calls at once, at most” must be a number.").waitFor();
  await page.getByLabel("Calls at once, at most").fill("40");
  await page.getByRole("button", { name: "Call only at some hours" }).click();
  await page.getByLabel("To", { exact: true }).fill("20:00");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Saved. It holds from now on.").waitFor();
  const { organization } = await access.getOrganization({});
  expect(organization?.settings).toMatchObject({
    leaseLimit: 40,
    rateRead: 500,
    callingHours: { windows: [{ days: [1, 2, 3, 4, 5], start: "09:00", end: "20:00" }] },
  });
  expect(complaints).toEqual([]);
});
