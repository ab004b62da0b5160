import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Caller } from "../../src/domain/caller.ts";
import { readConfigs } from "../../src/postgres/events/webhook-holders.ts";
import { eventually } from "../support/eventually.ts";
import { readLog } from "../support/log-fold.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { refusal } from "../support/refusal.ts";
import {
  organizationsWithOldDeliveries,
  purgeDeliveries,
} from "../../src/postgres/events/webhook-deliveries.ts";
import { fillLog, headOf, inNewOrganization, request, toldOf, wanted, webhooksOf } from "./webhooks.ts";

let shared: Parts;
let parts: Parts;
let webhooks: ReturnType<typeof webhooksOf>;
beforeAll(async () => {
  shared = await startParts();
});
afterAll(() => shared[Symbol.asyncDispose]());
beforeEach(async () => {
  parts = await inNewOrganization(shared);
  webhooks = webhooksOf(parts);
});

const url = "https://hooks.example.com/callsheet?token=in-the-url";
const create = (fields = {}) => webhooks.create(request(parts), wanted(url, fields));

/** Everything that the database has, but for the columns that secrets are kept in. */
async function everythingElse(): Promise<string> {
  const { rows } = await sql`
    select to_jsonb(e) - 'secret' - 'old_secret' as row from webhook_endpoints e
    union all select to_jsonb(e) from events e
    union all select to_jsonb(r) from requests r
    union all select to_jsonb(d) from webhook_deliveries d`.execute(parts.db);
  return JSON.stringify(rows);
}

describe("an endpoint", () => {
  test("begins where the log ends, and tells its secret once", async () => {
    await fillLog(parts, 3);
    const asked = request(parts, "one");
    const { endpoint, secret } = await webhooks.create(asked, wanted(url, { description: "ours" }));
    expect(secret).toMatch(/^whsec_/);
    const logged = await headOf(parts);
    expect(endpoint).toMatchObject({
      url,
      description: "ours",
      types: [],
      batchJobIds: [],
      disabledReason: null,
      sequence: logged - 1,
      pendingDeliveries: 0,
      failingSince: null,
      missedEvents: 0,
      replayAfter: null,
    });
    const again = await webhooks.create(asked, wanted(url, { description: "ours" }));
    expect(again).toEqual({ endpoint: { ...endpoint, ...again.endpoint }, secret: "" });
    expect(again.endpoint.id).toBe(endpoint.id);
    expect(await webhooks.list(parts.caller)).toHaveLength(1);
    const { secret: second } = await webhooks.rotateSecret(request(parts, "two"), endpoint.id);
    expect((await webhooks.rotateSecret(request(parts, "two"), endpoint.id)).secret).toBe("");
    await webhooks.sendTest(request(parts, "three"), endpoint.id);
    expect(second).not.toBe(secret);
    const seen = `${await everythingElse()} ${JSON.stringify(await webhooks.get(parts.caller, endpoint.id))}`;
    for (const each of [secret, second]) expect(seen).not.toContain(each);
  });

  test("and its changes are told by whom, and not where it is", async () => {
    const { endpoint } = await create();
    const { id } = endpoint;
    await webhooks.update(request(parts, "r1"), id, { description: "new", types: ["batch_job.started"] });
    await webhooks.rotateSecret(request(parts), id);
    await webhooks.update(request(parts), id, { enabled: false });
    await webhooks.delete(request(parts), id);
    expect(await toldOf(parts)).toEqual([
      { type: "webhook_endpoint.created", data: { webhookEndpointId: id } },
      {
        type: "webhook_endpoint.updated",
        data: { webhookEndpointId: id, changedFields: ["types", "description"] },
      },
      { type: "webhook_endpoint.updated", data: { webhookEndpointId: id, changedFields: ["secret"] } },
      { type: "webhook_endpoint.updated", data: { webhookEndpointId: id, changedFields: ["enabled"] } },
      { type: "webhook_endpoint.deleted", data: { webhookEndpointId: id } },
    ]);
    const log = await readLog(parts.db, parts.caller.organizationId);
    expect(log.find(({ requestId }) => requestId === "r1")).toMatchObject({
      actor: "api_key",
      apiKeyId: parts.caller.apiKeyId,
    });
    expect(JSON.stringify(log)).not.toContain("in-the-url");
    const viewer: Caller = { ...parts.caller, role: "viewer" };
    const all = { afterSequence: 0, types: [], batchJobIds: [], pageSize: 0 };
    const seen = await parts.eventLog.list(viewer, all);
    expect(seen.events.filter(({ type }) => type.startsWith("webhook"))).toEqual([]);
  });

  test("that changes nothing is told of nowhere", async () => {
    const { endpoint } = await create({ types: ["batch_job.started"] });
    const same = { url, types: ["batch_job.started"], description: "", enabled: true };
    expect(await webhooks.update(request(parts), endpoint.id, same)).toMatchObject({
      updatedAt: endpoint.updatedAt,
    });
    expect(await toldOf(parts)).toHaveLength(1);
  });

  test("that is deleted is gone, and leaves nothing of its own", async () => {
    const { endpoint } = await create();
    const { endpoint: other } = await create();
    await webhooks.sendTest(request(parts), endpoint.id);
    await webhooks.delete(request(parts), endpoint.id);
    expect(await refusal(webhooks.get(parts.caller, endpoint.id))).toMatchObject({
      reason: "webhook_endpoint_not_found",
    });
    expect(await refusal(webhooks.delete(request(parts), endpoint.id))).toMatchObject({
      reason: "webhook_endpoint_not_found",
    });
    const { organizationId } = parts.caller;
    // Whoever held it just before has nowhere to send to.
    expect(await readConfigs(parts.db, [{ organizationId, id: endpoint.id }])).toEqual([]);
    await eventually(async () => {
      expect(await organizationsWithOldDeliveries(parts.db, 10)).toContain(organizationId);
      await purgeDeliveries(parts.db, organizationId, 10);
      await purgeDeliveries(parts.db, organizationId, 10);
      const { rows } = await sql<{ id: string }>`
        select id from webhook_endpoints where organization_id = ${organizationId}
        union all select endpoint_id from webhook_deliveries where organization_id = ${organizationId}`.execute(
        parts.db,
      );
      expect(rows).toEqual([{ id: other.id }]);
    });
    expect(await organizationsWithOldDeliveries(parts.db, 10)).not.toContain(organizationId);
  });
});

test("an organization has no more than 20, however many are asked for at once", async () => {
  const asked = await Promise.allSettled(Array.from({ length: 23 }, () => create()));
  expect(asked.filter(({ status }) => status === "fulfilled")).toHaveLength(20);
  expect(await refusal(create())).toMatchObject({ reason: "limit_exceeded", metadata: { limit: "20" } });
  const [first] = await webhooks.list(parts.caller);
  await webhooks.delete(request(parts), first?.id ?? "");
  await create();
  expect(await webhooks.list(parts.caller)).toHaveLength(20);
});

describe("refused is", () => {
  test.each([
    ["a URL that nothing may be sent to", { url: "https://10.0.0.1/" }, "url"],
    ["a type that is none", { types: ["batch_job.started", "batch_job.exploded"] }, "types[1]"],
    ["a type of bodies", { types: ["contact.attempts_ended"] }, "types[0]"],
    ["what is no id of a job", { batchJobIds: ["job 1"] }, "batch_job_ids[0]"],
  ])("%s", async (_, fields, field) => {
    expect(await refusal(create(fields))).toMatchObject({ reason: "invalid_argument", metadata: { field } });
    const { endpoint } = await create();
    expect(await refusal(webhooks.update(request(parts), endpoint.id, fields))).toMatchObject({
      reason: "invalid_argument",
      metadata: { field },
    });
  });

  test.each([
    ["before what is kept", 1, 0, "cursor_expired"],
    ["beyond the end of the log", 99, 0, "invalid_argument"],
    ["that ends beyond the log", 4, 99, "invalid_argument"],
    ["that ends before it begins", 5, 4, "invalid_argument"],
  ])("a replay %s", async (_, from, to, reason) => {
    const { endpoint } = await create();
    await fillLog(parts, 10);
    await sql`
      update event_heads set first_sequence = 3 where organization_id = ${parts.caller.organizationId}`.execute(
      parts.db,
    );
    expect(await refusal(webhooks.replay(request(parts), endpoint.id, { from, to }))).toMatchObject({
      reason,
    });
  });

  test("whoever has a key that another replica has revoked", async () => {
    const { endpoint } = await create();
    await sql`update api_keys set revoked_at = clock_timestamp() where id = ${parts.caller.apiKeyId}`.execute(
      parts.db,
    );
    for (const call of [
      create,
      () => webhooks.rotateSecret(request(parts), endpoint.id),
      () => webhooks.update(request(parts), endpoint.id, { url: "https://elsewhere.example.com/" }),
    ]) {
      expect(await refusal(call)).toMatchObject({ reason: "invalid_api_key" });
    }
  });

  test("another organization's endpoint, to all that is done with one", async () => {
    const { endpoint } = await create();
    const { id } = endpoint;
    const stranger = await inNewOrganization(shared);
    for (const call of [
      () => webhooks.get(stranger.caller, id),
      () => webhooks.update(request(stranger), id, { enabled: false }),
      () => webhooks.delete(request(stranger), id),
      () => webhooks.rotateSecret(request(stranger), id),
      () => webhooks.sendTest(request(stranger), id),
      () => webhooks.listDeliveries(stranger.caller, id, { size: 0, token: "" }),
      () => webhooks.replay(request(stranger), id, { from: 1, to: 0 }),
    ]) {
      expect(await refusal(call)).toMatchObject({ reason: "webhook_endpoint_not_found" });
    }
    const { sequence, createdAt, updatedAt, oldSecretExpiresAt, replayTo } = endpoint;
    expect(await webhooks.get(parts.caller, id)).toMatchObject({
      sequence,
      createdAt,
      updatedAt,
      oldSecretExpiresAt,
      replayTo,
    });
    expect(await webhooks.list(stranger.caller)).toEqual([]);
  });
});

test("deliveries come in pages, the newest first, each once", async () => {
  const { endpoint } = await create();
  const ids: string[] = [];
  for (let i = 0; i < 5; i += 1) ids.unshift(await webhooks.sendTest(request(parts), endpoint.id));
  const seen: string[] = [];
  for (let token = ""; ;) {
    const page = await webhooks.listDeliveries(parts.caller, endpoint.id, { size: 2, token });
    expect(page.deliveries.length).toBeLessThanOrEqual(2);
    seen.push(...page.deliveries.map(({ id }) => id));
    token = page.nextPageToken;
    if (token === "") break;
  }
  expect(seen.toSorted()).toEqual(ids.toSorted());
  expect((await webhooks.get(parts.caller, endpoint.id)).pendingDeliveries).toBe(5);
});
