import { type Browser, type BrowserContextOptions, type Page, chromium } from "playwright-core";
import { afterAll, beforeAll, expect, vi } from "vitest";
import { eventually } from "../support/eventually.ts";
import { findChromium } from "../support/servers/chromium.ts";

/** A page of the console, and everything that its browser complained of. */
export type ConsolePage = AsyncDisposable & { readonly page: Page; readonly complaints: string[] };

const quiet = [
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];

/** One browser for the tests of a file. Answers a function that opens a page with a session of its own. */
export function useBrowser() {
  let browser: Browser | undefined;
  // A browser is slow where the machine is busy.
  vi.setConfig({ testTimeout: 90_000 });
  beforeAll(async () => {
    const { executablePath, env } = await findChromium();
    browser = await chromium.launch({ executablePath, env, args: quiet });
  }, 60_000);
  afterAll(() => browser?.close());

  return async (
    url: string,
    options: BrowserContextOptions & { apiKey?: string } = {},
  ): Promise<ConsolePage> => {
    if (browser === undefined) throw new Error("the browser was not started");
    const { apiKey, ...rest } = options;
    const context = await browser.newContext({ timezoneId: "Europe/Berlin", locale: "en-GB", ...rest });
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    const complaints: string[] = [];
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (message) => {
      // What the service refuses is also told by the browser; the page is what says it properly.
      if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) {
        complaints.push(message.text());
      }
    });
    if (apiKey !== undefined) await context.addCookies([sessionOf(url, apiKey)]);
    await page.goto(url);
    if (apiKey !== undefined) await page.getByRole("button", { name: "Sign out" }).waitFor();
    return { page, complaints, [Symbol.asyncDispose]: () => context.close() };
  };
}

/** Waits until the focus is where the text stands: a page moves it once it has drawn. */
export const focusIsOn = async (page: Page, text: string): Promise<void> =>
  await eventually(async () => {
    expect(await page.evaluate("document.activeElement.innerText")).toContain(text);
  });

/** The cookie of a browser that has signed in. */
export const sessionOf = (url: string, apiKey: string) => ({
  name: "callsheet_session",
  value: apiKey,
  domain: new URL(url).hostname,
  path: "/",
  httpOnly: true,
  sameSite: "Strict" as const,
});

/** Has pages follow jobs by themselves, as where no worker can be shared: so a test sees, and stops, what they ask. */
export const withoutSharedWorker = "delete window.SharedWorker";

export async function signIn(page: Page, apiKey: string): Promise<void> {
  await page.getByLabel("API key").fill(apiKey);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: "Sign out" }).waitFor();
}

/** The text of an element, with its white space as one sees it. */
export const textOf = async (page: Page, selector: string): Promise<string> =>
  (await page.locator(selector).innerText()).replaceAll(/\s+/g, " ").trim();

/** A whole number of those at the top of a job's page. */
export async function figure(page: Page, name: string): Promise<number> {
  const term = page.locator("[aria-label='Where the contacts are now'] dt", {
    hasText: new RegExp(`^${name}$`),
  });
  const [number = ""] = (await term.locator("xpath=../dd").innerText()).split(/\s/);
  return Number(number.replaceAll(",", ""));
}

const captions = {
  jobs: "Jobs, newest first",
  contacts: "Contacts by number",
  outcomes: "Outcomes",
} as const;

/** One of the console's tables, once it is there. */
export const tableOf = (page: Page, name: keyof typeof captions) =>
  page.getByRole("table", { name: captions[name] });

/** The counts of the table of outcomes, by their words. */
export async function outcomesOn(page: Page): Promise<Record<string, number>> {
  const rows = await tableOf(page, "outcomes").locator("tbody tr").all();
  const entries = rows.map(async (row) => [
    (await row.locator("a").innerText()).trim(),
    Number((await row.locator("td.number").first().innerText()).replaceAll(",", "")),
  ]);
  return Object.fromEntries(await Promise.all(entries));
}

/** The status of the job that the page is about, or of one in a list of jobs, once it is this one. */
export const badge = (page: Page, word: string) =>
  page.locator("[data-badge=job]", { hasText: word }).first();
