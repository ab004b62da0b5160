import { afterAll, describe, expect, test } from "vitest";
import { makeApiKey } from "../support/api-key.ts";
import { eventually } from "../support/eventually.ts";
import { startTestService } from "../support/service.ts";

/* How the console signs in: with a cookie, which counts only beside a header that no other page can send. */

const service = await startTestService({ corsOrigins: ["https://app.example.com"] });
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

type Headers = Record<string, string>;

const proof = { "x-callsheet-console": "1" };

const signIn = (key: string, headers: Headers = proof, url = service.httpUrl) =>
  fetch(`${url}/session`, { method: "POST", headers: { authorization: `Bearer ${key}`, ...headers } });

/** The cookie as a browser sends it back. */
async function cookieOf(key: string): Promise<string> {
  const [cookie = ""] = (await signIn(key)).headers.getSetCookie();
  return cookie.split(";", 1)[0] ?? "";
}

const list = (headers: Headers, url = service.httpUrl) =>
  fetch(`${url}/callsheet.v1.BatchJobService/ListBatchJobs`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: "{}",
  });

test("a key that signs in is answered with who that is, and with a cookie that no script reads", async () => {
  const response = await signIn(service.apiKey);
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ role: "ROLE_ADMIN", organizationName: "default" });
  expect(response.headers.getSetCookie()).toEqual([
    `callsheet_session=${service.apiKey}; Path=/; HttpOnly; SameSite=Strict`,
  ]);
  const proxied = await signIn(service.apiKey, { ...proof, "x-forwarded-proto": "https" });
  expect(proxied.headers.getSetCookie()[0]).toMatch(/; Secure$/);
});

test.each([
  ["an unknown key", async () => `cs_${"x".repeat(40)}`, 401, "invalid_api_key"],
  ["a worker's key", async () => (await makeApiKey(db, { role: "worker" })).key, 403, "permission_denied"],
])("%s gets no cookie", async (_what, keyOf, status, code) => {
  const response = await signIn(await keyOf());
  expect(response.status).toBe(status);
  expect(await response.text()).toContain(code.toUpperCase());
  expect(response.headers.getSetCookie()).toEqual([]);
});

describe("what another page has a browser send, with the cookie that the browser adds,", () => {
  test.each([
    ["without the header", {}],
    ["with the header, from another site", { ...proof, "sec-fetch-site": "cross-site" }],
    ["with the header, from another host of the site", { ...proof, "sec-fetch-site": "same-site" }],
  ])("counts as from nobody: %s", async (_what, headers: Headers) => {
    const cookie = await cookieOf(service.apiKey);
    expect((await list({ ...proof, cookie })).status).toBe(200);
    const forged: [string, string, string?][] = [
      ["POST", "/callsheet.v1.BatchJobService/CreateBatchJob", "{}"],
      ["POST", "/batch-jobs/00000000-0000-4000-8000-000000000000/contacts.csv", "phone\n+14155550100\n"],
      ["GET", "/batch-jobs/00000000-0000-4000-8000-000000000000/contacts.csv"],
      ["POST", "/batch/jobs/00000000-0000-4000-8000-000000000000/start"],
      ["GET", "/batch/jobs"],
    ];
    for (const [method, path, body = null] of forged) {
      const answer = await fetch(`${service.httpUrl}${path}`, {
        method,
        body,
        headers: { "content-type": "application/json", ...headers, cookie },
      });
      expect([path, answer.status]).toEqual([path, 401]);
    }
    const [signedIn, signedOut] = [
      await signIn(service.apiKey, headers),
      await fetch(`${service.httpUrl}/session`, { method: "DELETE", headers: { ...headers, cookie } }),
    ];
    expect([signedIn.status, signedOut.status]).toEqual([403, 403]);
    expect([...signedIn.headers.getSetCookie(), ...signedOut.headers.getSetCookie()]).toEqual([]);
  });

  test("is refused to pages of an origin that may call with a key", async () => {
    const preflight = await fetch(`${service.httpUrl}/callsheet.v1.BatchJobService/ListBatchJobs`, {
      method: "OPTIONS",
      headers: {
        origin: "https://app.example.com",
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-callsheet-console",
      },
    });
    expect(preflight.headers.get("access-control-allow-headers")?.toLowerCase()).not.toContain("x-callsheet");
    expect(preflight.headers.get("access-control-allow-credentials")).toBeNull();
  });
});

test("a key in a header goes before the cookie", async () => {
  const cookie = await cookieOf(service.apiKey);
  const { key } = await makeApiKey(db, { role: "worker" });
  expect((await list({ ...proof, cookie, authorization: `Bearer ${key}` })).status).toBe(403);
});

test("a session is good at every replica, and signing out takes the cookie away", async () => {
  await using other = await startTestService({ beside: service });
  const cookie = await cookieOf(service.apiKey);
  expect((await list({ ...proof, cookie }, other.httpUrl)).status).toBe(200);
  const out = await fetch(`${other.httpUrl}/session`, { method: "DELETE", headers: { ...proof, cookie } });
  expect(out.status).toBe(204);
  expect(out.headers.getSetCookie()).toEqual([
    "callsheet_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0",
  ]);
});

test("a key that is revoked ends its session", async () => {
  const { key, id } = await makeApiKey(db, { role: "viewer" });
  const cookie = await cookieOf(key);
  expect((await list({ ...proof, cookie })).status).toBe(200);
  await db.updateTable("api_keys").set({ revoked_at: new Date() }).where("id", "=", id).execute();
  await eventually(async () => expect((await list({ ...proof, cookie })).status).toBe(401), 10_000);
});

test("under a path the cookie is sent to that path alone", async () => {
  await using under = await startTestService({ basePath: "/apps/callsheet" });
  const response = await signIn(under.apiKey, proof, under.httpUrl);
  expect(response.headers.getSetCookie()[0]).toContain("; Path=/apps/callsheet/;");
});

test("other methods are told what would do", async () => {
  const response = await fetch(`${service.httpUrl}/session`, { headers: proof });
  expect([response.status, response.headers.get("allow")]).toEqual([405, "POST, DELETE"]);
});
