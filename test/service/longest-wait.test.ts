import { expect, test } from "vitest";
import { startTestService } from "../support/service.ts";

test("LeaseContacts waits no longer than the service is set to, for proxies that give up before", async () => {
  await using service = await startTestService({ longestWaitMs: 50 });
  const response = await fetch(`${service.httpUrl}/callsheet.v1.ContactWorkerService/LeaseContacts`, {
    method: "POST",
    headers: { authorization: `Bearer ${service.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({ workerId: "w", maxContacts: 1, wait: "60s" }),
    signal: AbortSignal.timeout(20_000),
  });
  expect([response.status, await response.json()]).toEqual([200, { contacts: [] }]);
});
