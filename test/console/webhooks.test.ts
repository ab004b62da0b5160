import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { useBrowser } from "./browser.ts";

const open = useBrowser();
const stack = new AsyncDisposableStack();
let service: Awaited<ReturnType<typeof startTestService>>;
beforeAll(async () => {
  service = stack.use(
    await startTestService({ webhookPolicy: { allowInsecure: true, allowedNetworks: undefined } }),
  );
});
afterAll(() => stack.disposeAsync());

type Received = { readonly headers: Record<string, string>; readonly body: string };

/** A receiver that answers as it is told to, and what it has got. */
async function startReceiver() {
  const received: Received[] = [];
  const answer = { status: 500, body: "" };
  const server = createServer(async (request, response) => {
    received.push({ headers: request.headers as Record<string, string>, body: await text(request) });
    response.writeHead(answer.status).end(answer.body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks`,
    received,
    answer,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

test("an admin has events sent, sees the secret once, what did not arrive and why, and takes it all back", async () => {
  await using receiver = await startReceiver();
  receiver.answer.status = 422;
  receiver.answer.body = "unknown <b>field</b>";
  await using opened = await open(service.httpUrl, service);
  const { page, complaints } = opened;
  await page.getByRole("link", { name: "Webhooks" }).click();
  await page.getByText("Nothing is sent anywhere.").waitFor();
  await page.getByRole("button", { name: "Send events there" }).click();
  await page.getByText("Say where to send to.").waitFor();
  await page.getByLabel("URL").fill("https://10.0.0.1/");
  await page.getByRole("button", { name: "Send events there" }).click();
  await page.getByText("must lead to a public address").waitFor();
  await page.getByLabel("URL").fill(receiver.url);
  await page.getByLabel("What it is for").fill("The shop");
  await page.getByLabel("batch_job.created").check();
  await page.getByRole("button", { name: "Send events there" }).click();
  const secret = await page.locator("[data-secret]").innerText();
  expect(secret).toMatch(/^whsec_/);
  await page.getByRole("button", { name: "It is kept; hide it" }).click();
  await page.locator("[data-secret]").waitFor({ state: "detached" });
  const row = page.getByRole("row", { name: receiver.url });
  await row.getByText("1 type").waitFor();
  await row.getByRole("link").click();
  await page.getByRole("heading", { name: "The shop" }).waitFor();

  const created = { name: "Told of", fromPhoneNumberId: "pn_1", contacts: makeContacts(1) };
  await service.clientWith(service.apiKey).createBatchJob(created);
  const delivery = page.getByRole("row", { name: "batch_job.created" });
  await delivery.getByText("422, refused it").waitFor();
  await delivery.getByText("Waits").waitFor();
  await delivery.getByText("What it answered").click();
  await delivery.getByText("unknown <b>field</b>").waitFor();
  await page.locator("[data-badge=webhook]", { hasText: "Failing" }).waitFor();
  const [{ headers, body } = { headers: {}, body: "" }] = receiver.received;
  expect(new Webhook(secret).verify(body, headers)).toMatchObject({ type: "batch_job.created" });

  receiver.answer.status = 200;
  await page.getByRole("button", { name: "Send a test event" }).click();
  await page.getByText("It is being sent.").waitFor();
  const tested = page.getByRole("row", { name: "webhook_endpoint.test" });
  await tested.getByText("Arrived").waitFor();

  await page.getByRole("button", { name: "Turn off" }).click();
  await page.locator("[data-badge=webhook]", { hasText: "Off" }).waitFor();
  await page.getByText("It was turned off.").waitFor();
  await page.getByRole("button", { name: "Turn on" }).click();
  await page.locator("[data-badge=webhook]", { hasText: "On" }).waitFor();
  // What waited is sent at once.
  await delivery.getByText("Arrived").waitFor();

  await page.getByRole("button", { name: "Make a new secret" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Make a new secret" }).click();
  expect(await page.locator("[data-secret]").innerText()).not.toBe(secret);
  await page.getByRole("button", { name: "It is kept; hide it" }).click();
  await page.getByText("Old secret ends").waitFor();

  const isAgain = (one: Received) => one.headers["webhook-id"] === headers["webhook-id"];
  const before = receiver.received.filter(isAgain).length;
  await page.getByRole("button", { name: "Send events once more" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Send them" }).click();
  await page.getByText("Give the number of the first event").waitFor();
  await page.getByLabel("From number").fill("1");
  await page.getByRole("dialog").getByRole("button", { name: "Send them" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await eventually(() => expect(receiver.received.filter(isAgain)).toHaveLength(before + 1));

  const form = page.getByRole("form", { name: "Change the webhook" });
  await form.getByLabel("What it is for").fill("The other shop");
  await form.getByRole("button", { name: "Save" }).click();
  await page.getByText("Saved. It holds from now on.").waitFor();
  await page.getByRole("heading", { name: "The other shop" }).waitFor();

  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Delete the webhook" }).click();
  await page.getByText("Nothing is sent anywhere.").waitFor();
  expect(complaints).toEqual([]);
});

test("a webhook that there is not is said to be none", async () => {
  await using opened = await open(`${service.httpUrl}/webhooks/${crypto.randomUUID()}`, service);
  await opened.page.getByText("There is no such webhook endpoint").waitFor();
  await opened.page.getByRole("link", { name: "All webhooks" }).click();
  await opened.page.getByRole("heading", { name: "Webhooks" }).waitFor();
  expect(opened.complaints).toEqual([]);
});
