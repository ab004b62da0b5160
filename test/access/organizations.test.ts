import { afterAll, expect, test } from "vitest";
import { openDatabase } from "../../src/postgres/connections/database.ts";
import { findOrganizationNamed } from "../../src/postgres/organizations.ts";
import { runProgram } from "../support/command.ts";
import { cloneDatabase } from "../support/database.ts";

const database = await cloneDatabase();
const db = openDatabase({ url: database.url, poolSize: 2 });
afterAll(async () => {
  await db.destroy();
  await database[Symbol.asyncDispose]();
});

const organizations = (...args: string[]) =>
  runProgram("src/access/organizations.ts", args, { DATABASE_URL: database.url });
const recorded = () => db.selectFrom("events").selectAll().orderBy("sequence").execute();

test("create makes an organization with what is set for it, and records that", async () => {
  const { exitCode, stdout, stderr } = await organizations(
    "create",
    "acme",
    "--lease-limit",
    "20",
    "--rate-read",
    "0",
  );
  expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: "created acme\n", stderr: "" });
  expect((await findOrganizationNamed(db, "acme"))?.settings).toEqual({
    leaseLimit: 20,
    storedContactLimit: null,
    rateRead: 0,
    rateCommand: null,
    rateImport: null,
    rateLease: null,
    callsPerSecond: null,
    suppressedPhoneLimit: null,
    callingHours: null,
  });
  const by = { actor: "command_line", api_key_id: null, request_id: "" };
  expect(await recorded()).toMatchObject([
    { ...by, type: "organization.created" },
    { ...by, type: "organization.updated", data: { after: { leaseLimit: 20, rateRead: 0 } } },
  ]);

  const again = await organizations("create", "acme", "--lease-limit", "5");
  expect(again).toMatchObject({ exitCode: 1, stdout: "", stderr: expect.stringContaining("already") });
  expect(await recorded()).toHaveLength(2);
});

test("update changes what is given, and gives back what is the service's", async () => {
  await organizations("create", "bell");
  const set = await organizations("update", "bell", "--stored-contact-limit", "5000", "--lease-limit", "7");
  expect(set).toEqual({ exitCode: 0, stdout: "updated bell\n", stderr: "" });
  const { stdout } = await organizations("list");
  expect(stdout).toMatch(
    /^bell {2}created \S+ {2}contacts 0 {2}dialing 0 {2}lease-limit 7 {2}stored-contact-limit 5000$/m,
  );
  await organizations("update", "bell", "--stored-contact-limit", "default", "--lease-limit", "default");
  expect((await findOrganizationNamed(db, "bell"))?.settings).toMatchObject({
    leaseLimit: 100,
    storedContactLimit: null,
  });
});

test.each([
  [["create", " "], /give a name/],
  [["create", "x", "--lease-limit", "0"], /from 1 to 1000000, or "default"/],
  [["create", "x", "--rate-read", "1.5"], /whole number/],
  [["update", "nobody", "--lease-limit", "5"], /There is no organization nobody/],
  [["update", "nobody"], /give at least one of --lease-limit/],
] as const)("%j is refused in a sentence, and changes nothing", async (args, sentence) => {
  const before = await recorded();
  const { exitCode, stdout, stderr } = await organizations(...args);
  expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
  expect(stderr).toMatch(sentence);
  expect(await recorded()).toEqual(before);
});

const hoursOf = async (name: string) => (await findOrganizationNamed(db, name))?.settings.callingHours;

test("hours are given as JSON, shown as set, and go again by default", async () => {
  await organizations("create", "with hours");
  const json = JSON.stringify({ windows: [{ days: [1], start: "09:00", end: "17:00" }], closeEarly: "60s" });
  expect(await organizations("update", "with hours", "--calling-hours", json)).toMatchObject({ exitCode: 0 });
  expect(await hoursOf("with hours")).toEqual({
    windows: [{ days: [1], startMinute: 540, endMinute: 1_020 }],
    exceptions: [],
    closeEarlyMs: 60_000,
  });
  expect((await organizations("list")).stdout).toMatch(/with hours .* calling-hours\n/);
  const midnight = JSON.stringify({ windows: [{ days: [1], start: "22:00", end: "02:00" }] });
  for (const [wrong, says] of [
    ["{", /give JSON such as/],
    [midnight, /write two instead/],
  ] as const) {
    const { exitCode, stderr } = await organizations("update", "with hours", "--calling-hours", wrong);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(says);
  }
  await organizations("update", "with hours", "--calling-hours", "default");
  expect(await hoursOf("with hours")).toBeNull();
});
