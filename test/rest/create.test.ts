import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeContacts } from "../support/make.ts";
import { eventually } from "../support/eventually.ts";
import { type Api, startApi } from "./api.ts";

let api: Api;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api[Symbol.asyncDispose]());

const settings = { fromPhoneNumberId: "pn_1", name: "Spring campaign" };
const phone = (number: number) => `+1415555${String(number).padStart(4, "0")}`;
const uuid = expect.stringMatching(/^[0-9a-f-]{36}$/);

const somePeople = (count: number) => makeContacts(count).map(({ fields: _none, ...contact }) => contact);

const rows = (count: number) =>
  somePeople(count)
    .map((contact) => contact.phone)
    .join("\n");

function formOf(csv: string | undefined, more: Record<string, string> = {}): FormData {
  const form = new FormData();
  // The file comes before what it is for, as a form may have it.
  if (csv !== undefined) form.set("file", new Blob([csv], { type: "text/csv" }), "contacts.csv");
  for (const [key, value] of Object.entries({ ...settings, ...more })) form.set(key, value);
  return form;
}

const create = (body: object) => api.ask("POST", "/batch/create", { body });
const countJobs = async () => Number((await api.ask("GET", "/batch/jobs")).body["total"]);

async function contactsOf(id: unknown): Promise<unknown[]> {
  const { body } = await api.ask("GET", `/batch/jobs/${String(id)}`);
  return (body["contacts"] as { contactData: unknown }[]).map(({ contactData }) => contactData);
}

describe("as JSON", () => {
  test("makes a job that waits", async () => {
    const reply = await create({ ...settings, contacts: [{ phone: phone(1), name: "Ada" }] });
    expect(reply.status).toBe(200);
    expect(reply.body).toEqual({
      success: true,
      batchJobId: uuid,
      totalContacts: 1,
      estimatedDuration: "2 minutes",
      estimatedCost: null,
      status: "pending",
      scheduledStartTime: null,
      message: "Created",
    });
  });

  test("makes a scheduled job with all its settings", async () => {
    const reply = await create({
      ...settings,
      description: "For customers",
      concurrentCallLimit: 7,
      maxAttempts: 2,
      scheduledStartTime: "2035-03-01T10:00:00",
      timezone: "america/new_york",
      organizationId: String(api.organizationId),
      contacts: [{ phone: phone(1) }],
    });
    expect(reply.body).toMatchObject({
      status: "scheduled",
      scheduledStartTime: "2035-03-01T15:00:00.000Z",
      message: "Created and scheduled",
    });
    const job = await api.ask("GET", `/batch/jobs/${String(reply.body["batchJobId"])}`);
    expect(job.body).toMatchObject({
      description: "For customers",
      concurrentCallLimit: 7,
      retryPolicy: { maxAttempts: 2, retryableStatuses: ["no_answer", "busy", "timeout"] },
    });
  });

  test("takes further keys of a contact as its fields", async () => {
    const reply = await create({
      ...settings,
      contacts: [
        { phone: phone(1), name: null, city: "Berlin", age: 41, isMember: false, note: null },
        { phone: phone(2), address: { city: "Berlin" } },
        { phone: phone(3), tags: ["a"] },
      ],
    });
    expect(reply.body).toMatchObject({
      totalContacts: 1,
      message: "Created; 2 of 3 contacts were rejected",
    });
    expect(await contactsOf(reply.body["batchJobId"])).toEqual([
      { phone: phone(1), name: null, city: "Berlin", age: "41", isMember: "false" },
    ]);
  });

  test.each([
    ["2 minutes", 5, 5],
    ["12 minutes", 30, 5],
    ["2 hours", 300, 5],
    ["2 hours 2 minutes", 301, 5],
    ["1 hour", 30, 1],
  ])("estimates %s for %i contacts, %i at once", async (estimatedDuration, count, concurrentCallLimit) => {
    const reply = await create({ ...settings, concurrentCallLimit, contacts: somePeople(count) });
    expect(reply.body).toMatchObject({ estimatedDuration });
  });

  test.each([
    [{ contacts: [] }, "no_valid_contacts", undefined],
    [{ contacts: somePeople(10_001) }, "too_many_contacts", undefined],
    [{ contacts: [{ phone: "+12345" }] }, "invalid_phone_format", "Invalid phone number format: +12345"],
    [{ contacts: [{ phone: phone(1), list: [] }] }, "no_valid_contacts", undefined],
    [{ contacts: ["+14155550100"] }, "invalid_argument", undefined],
    [{ contacts: "none" }, "invalid_argument", undefined],
    [{ name: undefined }, "invalid_argument", undefined],
    [{ name: "" }, "invalid_argument", undefined],
    [{ name: "x".repeat(201) }, "invalid_argument", undefined],
    [{ concurrentCallLimit: 0 }, "invalid_argument", undefined],
    [{ concurrentCallLimit: 1.5 }, "invalid_argument", undefined],
    [{ maxAttempts: 11 }, "invalid_argument", undefined],
    [{ agentId: "a" }, "invalid_argument", undefined],
    [{ timezone: "Mars/Olympus" }, "invalid_timezone", expect.stringContaining("'Mars/Olympus'")],
    [{ scheduledStartTime: "soon" }, "invalid_datetime", expect.stringContaining("Use format like")],
    [
      { scheduledStartTime: "2020-01-01T00:00" },
      "past_scheduled_time",
      "Scheduled time must be in the future",
    ],
  ])("refuses what is not right: %o", async (wrong, code, detail) => {
    const before = await countJobs();
    const reply = await create({ ...settings, contacts: somePeople(1), ...wrong });
    expect(reply.status).toBe(400);
    expect(reply.body).toEqual({
      success: false,
      code,
      detail: detail ?? reply.body["error"],
      error: expect.any(String),
    });
    expect(await countJobs()).toBe(before);
  });

  test.each([
    ["what is not JSON", "{"],
    ["what is no object", "[]"],
    ["nothing", ""],
  ])("refuses %s", async (_what, body) => {
    const headers = { "content-type": "application/json" };
    const reply = await api.ask("POST", "/batch/create", { body, headers });
    expect(reply).toMatchObject({ status: 400, body: { code: "invalid_argument" } });
  });

  test("refuses millions of values before it makes any", async () => {
    const body = `{"contacts":[${"{},".repeat(1_000_000)}{}]}`;
    const headers = { "content-type": "application/json" };
    const reply = await api.ask("POST", "/batch/create", { body, headers });
    expect(reply).toMatchObject({ status: 400, body: { code: "too_large" } });
  });

  test("takes 10,000 contacts that are as large as the rows of a file may be", async () => {
    const fields = Object.fromEntries(["a", "b", "c", "d", "e", "f"].map((key) => [key, "x".repeat(140)]));
    const contacts = somePeople(10_000).map((contact) => ({ ...contact, ...fields }));
    expect(await create({ ...settings, contacts })).toMatchObject({
      status: 200,
      body: { totalContacts: 10_000 },
    });
  });

  test("refuses more than 11 MiB of JSON as too large", async () => {
    const note = "x".repeat(11 * 1024 * 1024);
    const body = JSON.stringify({ ...settings, contacts: [{ phone: phone(1), note }] });
    const headers = { "content-type": "application/json" };
    const reply = await api.ask("POST", "/batch/create", { body, headers });
    expect(reply).toMatchObject({ status: 413, body: { code: "too_large" } });
  });

  test("rejects a number that has lost digits, and keeps the others", async () => {
    const contact = (number: number, account: string) => `{"phone":"${phone(number)}","account":${account}}`;
    const reply = await api.ask("POST", "/batch/create", {
      headers: { "content-type": "application/json" },
      body: `{"name":"Spring","fromPhoneNumberId":"pn_1","contacts":[${[
        contact(1, "12345678901234567890"),
        contact(2, "1e400"),
        contact(3, "9007199254740991"),
        contact(4, '"12345678901234567890"'),
      ].join(",")}]}`,
    });
    expect(reply.body).toMatchObject({ message: "Created; 2 of 4 contacts were rejected" });
    expect(await contactsOf(reply.body["batchJobId"])).toEqual([
      { phone: phone(3), name: null, account: "9007199254740991" },
      { phone: phone(4), name: null, account: "12345678901234567890" },
    ]);
  });

  test.each([
    ["name", 5, "must be a text"],
    ["name", undefined, "must be given"],
    ["concurrentCallLimit", "5", "must be a whole number"],
    ["timezone", {}, "must be a text"],
    ["contacts", "none", "must be a list"],
    ["fromPhoneNumberId", "", "must be at least 1 characters"],
    ["maxAttempts", 11, "must be greater than or equal to 1 and less than or equal to 10"],
  ])("says what is wrong with the %s %o", async (field, value, rule) => {
    const reply = await create({ ...settings, contacts: somePeople(1), [field]: value });
    expect(reply.body["error"]).toBe(`The request's field ${field} is wrong: ${rule}.`);
  });

  test("refuses an Idempotency-Key that is too long, under its name", async () => {
    const headers = { "idempotency-key": "x".repeat(65) };
    const body = { ...settings, contacts: somePeople(1) };
    const reply = await api.ask("POST", "/batch/create", { headers, body });
    const error = "The request's field Idempotency-Key is wrong: must be at most 64 characters.";
    expect(reply).toMatchObject({ status: 400, body: { code: "invalid_argument", error } });
  });

  test("takes a contact that was rejected and is mended for another request", async () => {
    const headers = { "idempotency-key": crypto.randomUUID() };
    const send = (note: unknown) => {
      const contacts = [{ phone: phone(1) }, { phone: phone(2), ...(note !== undefined && { note }) }];
      return api.ask("POST", "/batch/create", { headers, body: { ...settings, contacts } });
    };
    const first = await send([]);
    expect(first).toMatchObject({ status: 200, body: { totalContacts: 1 } });
    expect((await send([])).body).toEqual(first.body);
    expect(await send(undefined)).toMatchObject({ status: 400, body: { code: "request_id_reused" } });
  });

  test("refuses another organization's id", async () => {
    const organizationId = crypto.randomUUID();
    const reply = await create({ ...settings, organizationId, contacts: somePeople(1) });
    expect(reply).toMatchObject({ status: 403, body: { code: "permission_denied" } });
  });
});

describe("as a form", () => {
  test("makes a job of the rows of a file", async () => {
    const csv = `name,Phone,city\r\nAda,${phone(1)},"Berlin, Mitte"\r\nBob,${phone(1)},Rome\r\nEve,none,Oslo\r\n`;
    const reply = await create(formOf(csv, { concurrentCallLimit: "7", maxAttempts: "" }));
    expect(reply.status).toBe(200);
    expect(reply.body).toMatchObject({
      totalContacts: 1,
      message: "Created; 2 of 3 contacts were rejected",
      estimatedDuration: "2 minutes",
    });
    const id = reply.body["batchJobId"];
    expect(await contactsOf(id)).toEqual([{ phone: phone(1), name: "Ada", city: "Berlin, Mitte" }]);
    const job = await api.ask("GET", `/batch/jobs/${String(id)}`);
    expect(job.body).toMatchObject({ concurrentCallLimit: 7, retryPolicy: { maxAttempts: 3 } });
  });

  test("takes 10,000 rows", async () => {
    expect(await create(formOf(`phone\n${rows(10_000)}`))).toMatchObject({
      status: 200,
      body: { totalContacts: 10_000 },
    });
  });

  test.each([
    ["a row too many", `phone\n${rows(10_001)}`, "too_many_contacts", undefined],
    [
      "a file without phones",
      "name,email\nAda,a@b.c\n",
      "missing_phone_column",
      "CSV must have 'phone' column. Found columns: ['name', 'email']",
    ],
    ["an open quote", `phone\n"${phone(1)}\n`, "invalid_csv", undefined],
    ["an empty file", "", "invalid_csv", undefined],
    ["a file of titles", "phone,name\n", "invalid_csv", undefined],
    ["a file of no valid row", "phone\n12\n", "no_valid_contacts", undefined],
    ["no file", undefined, "invalid_argument", undefined],
  ])("refuses %s", async (_what, csv, code, detail) => {
    const before = await countJobs();
    const reply = await create(formOf(csv));
    expect(reply).toMatchObject({ status: 400, body: { success: false, code } });
    expect(reply.body["detail"]).toBe(detail ?? reply.body["error"]);
    expect(await countJobs()).toBe(before);
  });

  test("refuses a file of more than 10 MB", async () => {
    const reply = await create(formOf(`phone,note\n${phone(1)},${"x".repeat(10 * 1024 * 1024)}`));
    expect(reply).toMatchObject({ status: 413, body: { code: "too_large" } });
  });

  test("refuses an unknown part, and one that is there twice", async () => {
    const unknown = formOf(`phone\n${phone(1)}`, { agentId: "a" });
    expect((await create(unknown)).body).toMatchObject({
      code: "invalid_argument",
      error: expect.stringContaining('"agentId" is unknown'),
    });
    const twice = formOf(`phone\n${phone(1)}`);
    twice.append("name", "Another");
    expect((await create(twice)).body).toMatchObject({
      code: "invalid_argument",
      error: expect.stringContaining('"name" is given twice'),
    });
    const files = formOf(`phone\n${phone(1)}`);
    files.append("file", new Blob([`phone\n${phone(2)}`]), "more.csv");
    expect((await create(files)).body).toMatchObject({ code: "invalid_argument" });
  });

  const boundary = "----a-form";
  const whole = [
    `--${boundary}\r\nContent-Disposition: form-data; name="name"\r\n\r\nCut\r\n`,
    `--${boundary}\r\nContent-Disposition: form-data; name="fromPhoneNumberId"\r\n\r\npn_1\r\n`,
    `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="c.csv"\r\n`,
    `Content-Type: text/csv\r\n\r\nphone\r\n${phone(1)}\r\n${phone(2)}\r\n`,
    `\r\n--${boundary}--\r\n`,
  ].join("");
  const headers = { "content-type": `multipart/form-data; boundary=${boundary}` };

  const part = (disposition: string, text: string) =>
    `--${boundary}\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n${text}\r\n`;
  const csv = `phone\n${phone(1)}`;

  test.each([
    ["a text without a name", part('filler="x"', "x"), "no name"],
    ["a file without a name", part('filename="c.csv"', csv), "no name"],
    ["a file that is sent as a text", part('name="file"', csv), "must have a filename"],
    ["a file in another part", part('name="csv"; filename="c.csv"', csv), "the part that is named file"],
    ["more parts than there may be", part('name="name"', "").repeat(100_000), "more than 50 parts"],
    ["a long text", part('name="description"', "x".repeat(20_000)), "too long"],
  ])("refuses %s, and says so", async (_what, more, sentence) => {
    const body = `${more}${whole}`;
    const reply = await api.ask("POST", "/batch/create", { body, headers });
    expect(reply).toMatchObject({
      status: 400,
      body: { code: "invalid_argument", error: expect.stringContaining(sentence) },
    });
  });

  test("takes the form whose parts are cut off in the tests below", async () => {
    const reply = await api.ask("POST", "/batch/create", { body: whole, headers });
    expect(reply).toMatchObject({ status: 200, body: { totalContacts: 2 } });
  });

  test.each([1, 40, 90, 150, 260, whole.length - 40, whole.length - 10])(
    "keeps nothing of a form that ends after %i bytes",
    async (bytes) => {
      const before = await countJobs();
      const reply = await api.ask("POST", "/batch/create", { body: whole.slice(0, bytes), headers });
      expect(reply).toMatchObject({ status: 400, body: { code: "invalid_argument" } });
      expect(await countJobs()).toBe(before);
    },
  );

  test("keeps nothing of a form whose client goes", async () => {
    const before = await countJobs();
    const { port, hostname } = new URL(api.httpUrl);
    const was = await api.ended("CreateBatchJob", "canceled");
    const socket = connect(Number(port), hostname);
    await once(socket, "connect");
    socket.write(
      [
        "POST /batch/create HTTP/1.1",
        "host: here",
        `authorization: Bearer ${api.apiKey}`,
        `content-type: ${headers["content-type"]}`,
        `content-length: ${whole.length}`,
        "",
        whole.slice(0, -10),
      ].join("\r\n"),
      () => setImmediate(() => socket.destroy()),
    );
    await eventually(async () => expect(await api.ended("CreateBatchJob", "canceled")).toBeGreaterThan(was));
    expect(await countJobs()).toBe(before);
  });

  test("refuses a form without a boundary", async () => {
    const reply = await api.ask("POST", "/batch/create", {
      body: whole,
      headers: { "content-type": "multipart/form-data" },
    });
    expect(reply).toMatchObject({ status: 400, body: { code: "invalid_argument" } });
  });
});
