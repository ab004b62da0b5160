import { expect, test } from "vitest";
import { makeApiKey } from "../support/api-key.ts";
import { startProxy } from "../support/servers/proxy.ts";
import { startTestService } from "../support/service.ts";
import { useBrowser } from "./browser.ts";

const open = useBrowser();

test("a person is found in all jobs by their phone, which is in no address that is sent", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  for (const name of ["Spring", "Summer", "Autumn"]) {
    const contacts = [{ phone: "+14155550100", name: `Ada of ${name}` }, { phone: "+14155550101" }];
    await client.createBatchJob({ name, fromPhoneNumberId: "pn_1", contacts });
  }
  await using proxy = await startProxy(service.httpUrl);
  const requests: string[] = [];
  proxy.onRequest((request) => requests.push(...(/^[A-Z]+ \S+ HTTP/.exec(request) ?? [])));
  await using opened = await open(`${proxy.url}jobs`, service);
  const { page, complaints } = opened;
  await page.getByLabel("Phone number of a person").fill("+1 (415) 555-0100");
  await page.getByRole("button", { name: "Find" }).click();
  const rows = page.getByRole("table", { name: "Where this person is" }).locator("tbody tr");
  await page.getByRole("link", { name: "Ada of Spring" }).waitFor();
  expect(await rows.locator("td:first-child").allInnerTexts()).toEqual(["Autumn", "Summer", "Spring"]);
  await page.reload();
  await page.getByRole("link", { name: "Ada of Summer" }).waitFor();
  expect(await page.getByLabel("Phone number of a person").inputValue()).toBe("+1 (415) 555-0100");

  await page.getByRole("link", { name: "Ada of Summer" }).click();
  await page.getByRole("heading", { name: "Ada of Summer" }).waitFor();
  await page.goBack();
  await page.getByLabel("Phone number of a person").fill("+14155550199");
  await page.getByRole("button", { name: "Find" }).click();
  await page.getByText("No job has this phone.").waitFor();
  await page.goBack();
  await page.getByRole("link", { name: "Ada of Autumn" }).waitFor();

  expect(requests.length).toBeGreaterThan(0);
  expect(requests.filter((line) => /555/.test(line))).toEqual([]);
  expect(complaints).toEqual([]);
});

test("a person is found by a number as it is dialed in a country, and erased once it is typed again", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  for (const name of ["Spring", "Summer"]) {
    const contacts = [{ phone: "+4915123456789", name: `Ada of ${name}` }];
    await client.createBatchJob({ name, fromPhoneNumberId: "pn_1", contacts });
  }
  await using opened = await open(`${service.httpUrl}/jobs`, service);
  const { page, complaints } = opened;
  await page.getByLabel("Phone number of a person").fill("0151 2345 6789");
  await page.getByRole("button", { name: "Find" }).click();
  await page.getByLabel("Numbers without a plus sign are of").selectOption("Luxembourg");
  await page.getByText("This is no whole phone number as it is dialed in that country.").waitFor();
  await page.getByLabel("Numbers without a plus sign are of").selectOption("Germany");
  await page.getByRole("link", { name: "Ada of Spring" }).waitFor();
  expect(new URL(page.url()).search).toBe("?country=DE");
  await page.reload();
  await page.getByRole("link", { name: "Ada of Summer" }).waitFor();

  await page.getByRole("button", { name: "Erase this person" }).click();
  const dialog = page.getByRole("dialog", { name: "Erase this person?" });
  await dialog.getByText("+4915123456789").waitFor();
  await dialog.getByLabel("Why").fill("asked for it");
  await dialog.getByLabel("Their phone number").fill("+49 151 2345 678");
  await dialog.getByRole("button", { name: "Erase for good" }).click();
  await dialog.getByText("Type the number of the person as it stands above").waitFor();
  await dialog.getByLabel("Their phone number").fill("+49 151 2345 6789");
  await dialog.getByRole("button", { name: "Erase for good" }).click();
  await page.getByText("This person is erased: 2 contacts.").waitFor();
  await page.getByText("No job has this phone.").waitFor();
  expect(await client.findContacts({ phone: "+4915123456789" })).toMatchObject({ contacts: [] });
  expect(complaints).toEqual([]);
});

test("who may not erase a person is not shown how", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  const contacts = [{ phone: "+14155550100", name: "Ada" }];
  await client.createBatchJob({ name: "Spring", fromPhoneNumberId: "pn_1", contacts });
  const { db } = service;
  const { key: apiKey } = await makeApiKey(db, { role: "operator" });
  await using opened = await open(`${service.httpUrl}/jobs/find#%2B14155550100`, { apiKey });
  await opened.page.getByRole("link", { name: "Ada" }).waitFor();
  expect(await opened.page.getByRole("button", { name: "Erase this person" }).count()).toBe(0);
});
