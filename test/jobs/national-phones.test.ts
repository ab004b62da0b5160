import { afterAll, beforeAll, expect, test } from "vitest";
import type { ContactInput } from "../../src/domain/contacts/contact.ts";
import { aNewJob, createJobWith, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { refusal } from "../support/refusal.ts";

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

const contact = (phone: string): ContactInput => ({ phone, name: "", fields: {} });
const given = ["(415) 555-0100", "+14155550101", "415 555 0100", "415-555-0102 x12", "12345"].map(contact);

const rejected = [
  { index: 2, reason: "duplicate_phone", phone: "+14155550100" },
  { index: 3, reason: "extension_not_supported", phone: "415-555-0102 x12" },
  { index: 4, reason: "invalid_phone_format", phone: "12345" },
];

async function phonesOf(batchJobId: string) {
  const page = await parts.jobs.listContacts(parts.caller, batchJobId, [], { size: 10, token: "" });
  return page.contacts.map(({ phone }) => phone);
}

test("a job is created with phones as they are written in its default region", async () => {
  const created = await parts.jobs.create(onJob(parts, ""), aNewJob({ contacts: given }), "US");
  expect(created).toMatchObject({ totalContacts: 2, rejectedCount: 3, rejected });
  expect(await phonesOf(created.batchJobId)).toEqual(["+14155550100", "+14155550101"]);
});

test("contacts are added with phones as they are written in a region", async () => {
  const id = await createJobWith(parts, []);
  const added = await parts.jobs.addContacts(onJob(parts, id), given, "us");
  expect(added).toMatchObject({ acceptedCount: 2, rejectedCount: 3, rejected });
  expect(await phonesOf(id)).toEqual(["+14155550100", "+14155550101"]);
});

test("a phone that is not E.164 is rejected without a region", async () => {
  const created = await parts.jobs.create(onJob(parts, ""), aNewJob({ contacts: given }));
  expect(created).toMatchObject({ totalContacts: 1, rejectedCount: 4 });
});

test("what is no region is refused, and nothing is created", async () => {
  const create = parts.jobs.create(onJob(parts, ""), aNewJob({ contacts: given }), "XX");
  expect(await refusal(create)).toMatchObject({
    reason: "invalid_argument",
    metadata: { field: "default_region" },
  });
});
