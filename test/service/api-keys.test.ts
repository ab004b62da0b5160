import { once } from "node:events";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { sql } from "kysely";
import { afterAll, describe, expect, test } from "vitest";
import { generateApiKey } from "../../src/domain/api-key.ts";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../src/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { revokeApiKey } from "../../src/postgres/api-keys.ts";
import { openHttp2, sendHttp } from "../rpc/raw.ts";
import { makeApiKey } from "../support/api-key.ts";
import { eventually } from "../support/eventually.ts";
import { startTestService } from "../support/service.ts";
import { bothListeners, callerFor } from "./callers.ts";
import { refusedAs } from "./refused.ts";

const service = await startTestService();
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

const invalidApiKey = refusedAs("invalid_api_key", "unauthenticated", {});
const expired = await makeApiKey(db, { role: "admin", expiresAt: new Date(Date.now() - 1_000) });
const revoked = await makeApiKey(db, { role: "admin" });
await revokeApiKey(db, revoked.id);

const wrongAuthorizations = {
  "no authorization": "",
  "no scheme": service.apiKey,
  "no key": "Bearer",
  "another scheme": `Basic ${service.apiKey}`,
  "a scheme that runs into the key": `Bearer${service.apiKey}`,
  "something behind the key": `Bearer ${service.apiKey} x`,
  "two keys": `Bearer ${service.apiKey}, Bearer ${service.apiKey}`,
  "a key without its prefix": `Bearer ${service.apiKey.slice(3)}`,
  "a prefix in capitals": `Bearer CS_${service.apiKey.slice(3)}`,
  "a short key": "Bearer cs_0123456789",
  "a cut key": `Bearer ${service.apiKey.slice(0, -1)}`,
  "a longer key": `Bearer ${service.apiKey}0`,
  "a key of 4,000 characters": `Bearer cs_${"0".repeat(4000)}`,
  "a key with other characters": `Bearer cs_${"%".repeat(43)}`,
  "an unknown key": `Bearer ${generateApiKey()}`,
  "an expired key": `Bearer ${expired.key}`,
  "a revoked key": `Bearer ${revoked.key}`,
};

describe.each(bothListeners)("%s", (name) => {
  test.each(Object.entries(wrongAuthorizations))("is refused with %s", async (_, authorization) => {
    const call = callerFor(name, { ...service, authorization });
    expect(await call("listBatchJobs", {})).toEqual(invalidApiKey);
    expect(await call("createBatchJob", {})).toEqual(invalidApiKey);
  });

  test("gets one and the same answer, whatever is wrong with the key", async () => {
    const replies = await Promise.all(
      Object.values(wrongAuthorizations).map((authorization) =>
        callerFor(name, { ...service, authorization })("listBatchJobs", {}),
      ),
    );
    expect(new Set(replies.map((reply) => JSON.stringify(reply))).size).toBe(1);
  });

  test("may write the scheme in any case and with more than one space", async () => {
    const authorization = `bEARER   ${service.apiKey}`;
    expect(await callerFor(name, { ...service, authorization })("listBatchJobs", {})).toHaveProperty("ok");
  });

  test("is refused before its 17 MiB are read", async () => {
    const call = callerFor(name, { ...service, authorization: "" });
    const description = "x".repeat(17 * 1024 * 1024);
    expect(await call("createBatchJob", { description })).toEqual(invalidApiKey);
  });

  test("is let in at once with a key that was unknown just before", async () => {
    const { key, id } = await makeApiKey(db, { role: "viewer" });
    await revokeApiKey(db, id);
    const call = callerFor(name, { ...service, apiKey: key });
    expect(await call("listBatchJobs", {})).toEqual(invalidApiKey);
    await db.updateTable("api_keys").set({ revoked_at: null }).where("id", "=", id).execute();
    expect(await call("listBatchJobs", {})).toHaveProperty("ok");
  });
});

const path = "/callsheet.v1.BatchJobService/CreateBatchJob";

describe("a call without a key is refused while its body is on the way", () => {
  test("by gRPC", async () => {
    using client = openHttp2(Number(new URL(service.grpcUrl).port));
    const stream = client.request("", { ":path": path });
    stream.write(new Uint8Array([0, 0, 0, 0, 9, 1]));
    const [header] = await once(stream, "response");
    expect(header).toMatchObject({ "grpc-status": "16" });
  });

  test("by Connect", async () => {
    const head = [
      `POST ${path} HTTP/1.1`,
      "host: localhost",
      "content-type: application/json",
      `content-length: ${17 * 1024 * 1024}`,
    ];
    const answer = await sendHttp(
      Number(new URL(service.httpUrl).port),
      `${head.join("\r\n")}\r\n\r\n{"name":`,
      /invalid_api_key/,
    );
    expect(answer).toMatch(/^HTTP\/1.1 401 /);
  });
});

test("a key that is revoked is refused within 5 seconds, although it was known to be good", async () => {
  const { key, id } = await makeApiKey(db, { role: "viewer" });
  const calls = bothListeners.map((name) => callerFor(name, { ...service, apiKey: key }));
  const ask = () => Promise.all(calls.map((call) => call("listBatchJobs", {})));
  expect(await ask()).toEqual([{ ok: expect.anything() }, { ok: expect.anything() }]);
  await revokeApiKey(db, id);
  await eventually(async () => expect(await ask()).toEqual([invalidApiKey, invalidApiKey]), 5_500);
});

async function* listServices() {
  yield { messageRequest: { case: "listServices" as const, value: "" } };
}

describe("no key is needed", () => {
  const grpc = createGrpcTransport({ baseUrl: service.grpcUrl });
  const connect = createConnectTransport({ baseUrl: service.httpUrl, httpVersion: "1.1" });

  test.each([
    ["gRPC", grpc],
    ["Connect", connect],
  ])("for health by %s", async (_, transport) => {
    const health = createClient(Health, transport);
    expect(await health.check({ service: "callsheet.v1.BatchJobService" })).toMatchObject({ status: 1 });
  });

  test.each([
    ["grpc.reflection.v1", ServerReflection],
    ["grpc.reflection.v1alpha", ServerReflectionAlpha],
  ] as const)("for %s", async (_, desc) => {
    const names: string[] = [];
    for await (const { messageResponse } of createClient<typeof ServerReflection>(
      desc as typeof ServerReflection,
      grpc,
    ).serverReflectionInfo(listServices())) {
      const services = messageResponse.case === "listServicesResponse" ? messageResponse.value.service : [];
      names.push(...services.map((entry) => entry.name));
    }
    expect(names).toEqual(
      expect.arrayContaining([
        "callsheet.v1.BatchJobService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
      ]),
    );
  });

  test.each(["/healthz", "/readyz", "/metrics"])("for %s", async (page) => {
    expect((await fetch(`${service.httpUrl}${page}`)).status).toBe(200);
  });
});

test("the bootstrap key is an admin's of the organization default", async () => {
  const keys = await db
    .selectFrom("api_keys")
    .innerJoin("organizations", "organizations.id", "api_keys.organization_id")
    .select(["organizations.name as organization", "api_keys.name", "role", "expires_at", "revoked_at"])
    .where("api_keys.name", "=", "bootstrap")
    .execute();
  expect(keys).toEqual([
    { organization: "default", name: "bootstrap", role: "admin", expires_at: null, revoked_at: null },
  ]);
});

test("a key is nowhere in the database, in no table and in no spelling", async () => {
  await callerFor("plain fetch", service)("createBatchJob", {
    requestId: "with a request kept",
    name: "Spring campaign",
    fromPhoneNumberId: "pn_1",
  });
  const { rows: tables } = await sql<{ name: string }>`
    select c.oid::regclass::text as name from pg_class c where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
  `.execute(db);
  const dumps = tables.map(({ name }) =>
    sql<{
      all: string;
    }>`select coalesce(string_agg(t::text, ''), '') as all from ${sql.table(name)} t`.execute(db),
  );
  const text = (await Promise.all(dumps)).flatMap(({ rows }) => rows.map((row) => row.all)).join("\n");
  const secret = service.apiKey.slice(3);
  const hex = [Buffer.from(service.apiKey), Buffer.from(secret, "base64url")].map((raw) =>
    raw.toString("hex"),
  );
  expect(text).toContain("bootstrap");
  expect([secret, ...hex].filter((spelling) => text.includes(spelling))).toEqual([]);
});
