import { expect, test } from "vitest";
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
