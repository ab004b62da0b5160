import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestService } from "../support/service.ts";
import { makeContacts } from "../support/make.ts";
import { refusal } from "../support/refusal.ts";

const stack = new AsyncDisposableStack();
let service: Awaited<ReturnType<typeof startTestService>>;
beforeAll(async () => {
  service = stack.use(await startTestService());
});
afterAll(() => stack.disposeAsync());

const aJob = { name: "Spring", fromPhoneNumberId: "pn_1" };

test("the same list is called again by one call, and the job says from which it is", async () => {
  const client = service.clientWith(service.apiKey);
  const first = await client.createBatchJob({ ...aJob, contacts: makeContacts(3) });
  const again = await client.createBatchJob({ ...aJob, copyContacts: { batchJobId: first.batchJobId } });
  expect(again.totalContacts).toBe(3);
  const { batchJob } = await client.getBatchJob({ batchJobId: again.batchJobId });
  expect(batchJob?.copiedFrom).toBe(first.batchJobId);
  const { contacts } = await client.listContacts({ batchJobId: again.batchJobId });
  expect(contacts.map(({ phone }) => phone)).toEqual(makeContacts(3).map(({ phone }) => phone));
});

test("contacts beside those of another job are refused", async () => {
  const client = service.clientWith(service.apiKey);
  const { batchJobId } = await client.createBatchJob({ ...aJob, contacts: makeContacts(1) });
  const both = client.createBatchJob({ ...aJob, contacts: makeContacts(1), copyContacts: { batchJobId } });
  expect(await refusal(both)).toMatchObject({
    reason: "invalid_argument",
    metadata: { field: "contacts" },
  });
});
