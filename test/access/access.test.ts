import { type Client, createClient } from "@connectrpc/connect";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { pino } from "pino";
import { sql } from "kysely";
import { afterAll, describe, expect, test } from "vitest";
import { startLastUses } from "../../src/access/last-uses.ts";
import { generateApiKey, hashApiKey } from "../../src/domain/api-key.ts";
import { AccessService, type Organization } from "../../src/gen/callsheet/v1/access_service_pb.ts";
import { Role } from "../../src/gen/callsheet/v1/options_pb.ts";
import { findKey, revokeApiKey } from "../../src/postgres/api-keys.ts";
import { makeApiKey } from "../support/api-key.ts";
import { eventually } from "../support/eventually.ts";
import { refusal } from "../support/refusal.ts";
import { startTestService } from "../support/service.ts";
import { grpcTo } from "../support/transports.ts";

const logged: string[] = [];
const service = await startTestService({
  logger: pino({ level: "trace" }, { write: (line: string) => void logged.push(line) }),
});
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

type Access = Client<typeof AccessService>;

const accessWith = (key: string): Access => createClient(AccessService, grpcTo(service.grpcUrl, key));

/** An organization of its own with one admin. */
async function anOrganization() {
  const organization = `org ${crypto.randomUUID()}`;
  const made = await makeApiKey(db, { role: "admin", organization });
  return { ...made, organization, access: accessWith(made.key) };
}

const recorded = (organizationId: number) =>
  db
    .selectFrom("events")
    .select(["type", "actor", "api_key_id", "request_id", "batch_job_id", "data"])
    .where("organization_id", "=", organizationId)
    .orderBy("sequence")
    .execute();

describe("WhoAmI", () => {
  test("shows the key and its organization, until when it is valid too", async () => {
    const organization = `org ${crypto.randomUUID()}`;
    const expiresAt = new Date(Date.now() + 3_600_000);
    const made = await makeApiKey(db, { role: "worker", organization, expiresAt });
    expect(await accessWith(made.key).whoAmI({})).toMatchObject({
      apiKeyId: made.id,
      name: "made by a test",
      role: Role.WORKER,
      organizationId: String(made.organizationId),
      organizationName: organization,
      expiresAt: timestampFromMs(expiresAt.getTime()),
    });
  });
});

describe("CreateApiKey", () => {
  test("makes a key that works at once, and keeps nothing of its secret", async () => {
    const { access, id, organizationId } = await anOrganization();
    const request = { name: "nightly", role: Role.OPERATOR, requestId: "r1" };
    const { secret, apiKey } = await access.createApiKey(request);
    expect(await accessWith(secret).whoAmI({})).toMatchObject({
      apiKeyId: apiKey?.apiKeyId,
      name: "nightly",
    });

    expect(await recorded(organizationId)).toMatchObject([
      { type: "organization.created", actor: "service" },
      { type: "api_key.created", actor: "service", api_key_id: null },
      {
        type: "api_key.created",
        actor: "api_key",
        api_key_id: id,
        request_id: "r1",
        data: { apiKeyId: apiKey?.apiKeyId, role: "operator", expiresAt: null },
      },
    ]);
    const tables = ["api_keys", "requests", "events"].map(async (table) => {
      const { rows } = await sql`select * from ${sql.table(table)}`.execute(db);
      return JSON.stringify(rows);
    });
    const everywhere = [...(await Promise.all(tables)), ...logged].join("\n");
    expect(everywhere).toContain(apiKey?.apiKeyId ?? "no id");
    expect(everywhere).not.toContain(secret.slice(3, 20));
  });

  test("makes one key for one request id, whose repetition shows no secret", async () => {
    const { access } = await anOrganization();
    const request = { name: "one", role: Role.VIEWER, requestId: "again" };
    const answers = await Promise.all([1, 2, 3].map(() => access.createApiKey(request)));
    expect(answers.filter(({ secret }) => secret !== "")).toHaveLength(1);
    expect(new Set(answers.map(({ apiKey }) => apiKey?.apiKeyId)).size).toBe(1);
    expect(answers.map(({ apiKey }) => apiKey)).toEqual(answers.map(() => answers[0]?.apiKey));
    const other = access.createApiKey({ ...request, role: Role.ADMIN });
    expect(await refusal(other)).toMatchObject({ reason: "request_id_reused" });
    expect((await access.listApiKeys({})).apiKeys).toHaveLength(2);
  });

  test("refuses a time that is past, and a role that is none", async () => {
    const { access, organizationId } = await anOrganization();
    const before = await recorded(organizationId);
    const past = access.createApiKey({ role: Role.VIEWER, expiresAt: timestampFromMs(Date.now() - 60_000) });
    expect(await refusal(past)).toMatchObject({
      reason: "invalid_argument",
      metadata: { field: "expires_at" },
    });
    const none = access.createApiKey({ role: Role.UNSPECIFIED });
    expect(await refusal(none)).toMatchObject({ reason: "invalid_argument", metadata: { field: "role" } });
    expect(await recorded(organizationId)).toEqual(before);
  });

  test("makes no more than may be valid, however many are asked for at once", async () => {
    const { access, organizationId } = await anOrganization();
    await db
      .insertInto("api_keys")
      .values(
        Array.from({ length: 997 }, () => ({
          organization_id: organizationId,
          name: "",
          role: "viewer" as const,
          hash: hashApiKey(generateApiKey()),
          expires_at: null,
          revoked_at: null,
          last_used_at: null,
        })),
      )
      .execute();
    const asked = await Promise.allSettled(
      Array.from({ length: 6 }, () => access.createApiKey({ role: Role.VIEWER })),
    );
    expect(asked.filter(({ status }) => status === "fulfilled")).toHaveLength(2);
    const { reason, metadata } = await refusal(access.createApiKey({ role: Role.VIEWER }));
    expect({ reason, limit: metadata["limit"] }).toEqual({ reason: "limit_exceeded", limit: "1000" });
  });
});

describe("ListApiKeys", () => {
  test("gives each key once, the newest first, over its pages", async () => {
    const { access, id } = await anOrganization();
    const ids: string[] = [];
    for (let i = 0; i < 4; i += 1) {
      const { apiKey } = await access.createApiKey({ name: `key ${i}`, role: Role.VIEWER });
      ids.unshift(apiKey?.apiKeyId ?? "");
    }
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await access.listApiKeys({ pageSize: 2, pageToken });
      seen.push(...page.apiKeys.map(({ apiKeyId }) => apiKeyId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(new Set(seen)).toEqual(new Set([...ids, id]));
    expect(seen).toHaveLength(5);
  });
});

describe("RevokeApiKey", () => {
  test("has the key refused within five seconds, and says so again", async () => {
    const { access, organizationId } = await anOrganization();
    const { secret, apiKey } = await access.createApiKey({ role: Role.VIEWER });
    const viewer = accessWith(secret);
    await viewer.whoAmI({});
    const { apiKey: revoked } = await access.revokeApiKey({ apiKeyId: apiKey?.apiKeyId ?? "" });
    expect(revoked?.revokedAt).toBeDefined();
    await eventually(async () => {
      expect(await refusal(viewer.whoAmI({}))).toMatchObject({ reason: "invalid_api_key" });
    });
    const before = await recorded(organizationId);
    expect((await access.revokeApiKey({ apiKeyId: apiKey?.apiKeyId ?? "" })).apiKey?.revokedAt).toEqual(
      revoked?.revokedAt,
    );
    expect(await recorded(organizationId)).toEqual(before);
  });

  test("leaves the key no moment to make another, or to change anything, where its replica has not heard", async () => {
    const { access, organizationId } = await anOrganization();
    const { secret, apiKey } = await access.createApiKey({ role: Role.ADMIN });
    const stolen = accessWith(secret);
    const { apiKey: bystander } = await stolen.createApiKey({ role: Role.VIEWER });
    const revoked = await revokeApiKey(db, apiKey?.apiKeyId ?? "");
    const before = await recorded(organizationId);
    const asked = await Promise.all([
      refusal(stolen.createApiKey({ role: Role.ADMIN })),
      refusal(stolen.revokeApiKey({ apiKeyId: bystander?.apiKeyId ?? "" })),
      refusal(stolen.updateOrganization({ settings: { leaseLimit: 1 } })),
    ]);
    expect([revoked, ...asked.map(({ reason }) => reason)]).toEqual([
      true,
      ...asked.map(() => "invalid_api_key"),
    ]);
    expect(await recorded(organizationId)).toEqual(before);
  });

  test("refuses what is no key of the organization", async () => {
    const { access } = await anOrganization();
    const { id } = await anOrganization();
    for (const apiKeyId of ["7", crypto.randomUUID(), id]) {
      const asked = access.revokeApiKey({ apiKeyId });
      expect(await refusal(asked)).toMatchObject({ reason: "api_key_not_found", metadata: { apiKeyId } });
    }
  });

  test("leaves an organization one admin, when all revoke themselves at once", async () => {
    const { access, id, key } = await anOrganization();
    // One that will not last does not count once it is over.
    await makeApiKey(db, {
      role: "admin",
      organization: (await access.whoAmI({})).organizationName,
      expiresAt: new Date(Date.now() - 1_000),
    });
    const others = await Promise.all([1, 2, 3].map(() => access.createApiKey({ role: Role.ADMIN })));
    const admins = [
      { id, key },
      ...others.map((made) => ({ id: made.apiKey?.apiKeyId ?? "", key: made.secret })),
    ];
    const asked = await Promise.allSettled(
      admins.map((admin) => accessWith(admin.key).revokeApiKey({ apiKeyId: admin.id })),
    );
    expect(asked.filter(({ status }) => status === "fulfilled")).toHaveLength(3);
    const left = admins.filter((_, i) => asked[i]?.status === "rejected");
    const last = left.map((admin) => accessWith(admin.key).revokeApiKey({ apiKeyId: admin.id }))[0];
    expect(await refusal(last ?? Promise.resolve())).toMatchObject({ reason: "last_admin_key" });
  });
});

/** What is set. */
const settingsOf = (organization: Organization | undefined) => {
  const { $typeName: _, ...settings } = organization?.settings ?? { $typeName: undefined };
  return settings;
};

describe("an organization", () => {
  test("is shown with what is set for it", async () => {
    const { access, organization, organizationId } = await anOrganization();
    const shown = (await access.getOrganization({})).organization;
    expect(shown).toMatchObject({
      organizationId: String(organizationId),
      name: organization,
      dialing: 0,
      storedContacts: 0,
    });
    expect(settingsOf(shown)).toEqual({ leaseLimit: 100 });
  });

  test("is changed in what is given, or in what the mask names", async () => {
    const { access, id, organizationId } = await anOrganization();
    const settings = { leaseLimit: 7, storedContactLimit: 50, rateRead: 0 };
    const { organization } = await access.updateOrganization({ settings, requestId: "u" });
    expect(settingsOf(organization)).toEqual(settings);
    const masked = {
      settings: { leaseLimit: 9, rateRead: 5 },
      updateMask: { paths: ["stored_contact_limit", "lease_limit"] },
    };
    expect(settingsOf((await access.updateOrganization(masked)).organization)).toEqual({
      leaseLimit: 9,
      rateRead: 0,
    });
    const reset = { updateMask: { paths: ["lease_limit", "rate_read"] } };
    expect(settingsOf((await access.updateOrganization(reset)).organization)).toEqual({ leaseLimit: 100 });
    // The first answer again, and nothing is done.
    expect(await access.updateOrganization({ settings, requestId: "u" })).toEqual(
      expect.objectContaining({ organization }),
    );
    expect(settingsOf((await access.getOrganization({})).organization)).toEqual({ leaseLimit: 100 });
    // What clients send that always send a mask.
    const unmasked = { settings: { rateRead: 3 }, updateMask: { paths: [] } };
    expect(settingsOf((await access.updateOrganization(unmasked)).organization)).toEqual({
      leaseLimit: 100,
      rateRead: 3,
    });
    const replaced = { settings: { rateLease: 5 }, updateMask: { paths: ["*"] } };
    expect(settingsOf((await access.updateOrganization(replaced)).organization)).toEqual({
      leaseLimit: 100,
      rateLease: 5,
    });
    expect((await recorded(organizationId)).slice(2)).toMatchObject([
      {
        type: "organization.updated",
        api_key_id: id,
        request_id: "u",
        data: {
          before: { leaseLimit: 100, storedContactLimit: null, rateRead: null },
          after: settings,
        },
      },
      {
        data: {
          before: { leaseLimit: 7, storedContactLimit: 50 },
          after: { leaseLimit: 9, storedContactLimit: null },
        },
      },
      { data: { before: { leaseLimit: 9, rateRead: 0 }, after: { leaseLimit: 100, rateRead: null } } },
      { data: { before: { rateRead: null }, after: { rateRead: 3 } } },
      { data: { before: { rateRead: 3, rateLease: null }, after: { rateRead: null, rateLease: 5 } } },
    ]);
  });

  test("is not changed by what is out of range or has no such name", async () => {
    const { access, organizationId } = await anOrganization();
    const before = await recorded(organizationId);
    const wrong = [
      [{ settings: { leaseLimit: 0 } }, "settings.lease_limit"],
      [{ settings: { storedContactLimit: -1 } }, "settings.stored_contact_limit"],
      [{ settings: {}, updateMask: { paths: ["name"] } }, "update_mask"],
      [{ settings: {}, updateMask: { paths: ["*", "rate_read"] } }, "update_mask"],
    ] as const;
    for (const [request, field] of wrong) {
      const { reason, metadata } = await refusal(
        access.updateOrganization(request as Parameters<Access["updateOrganization"]>[0]),
      );
      expect({ reason, field: metadata["field"] }).toEqual({ reason: "invalid_argument", field });
    }
    expect(await recorded(organizationId)).toEqual(before);
  });
});

describe("when a key was last used", () => {
  const logger = pino({ level: "silent" });

  test("is written for all keys together, and not while somebody holds the key", async () => {
    const [first, second] = await Promise.all([anOrganization(), anOrganization()]);
    const lastUsed = async ({ organizationId, id }: typeof first) =>
      (await findKey(db, organizationId, id))?.lastUsedAt ?? null;
    const caller = ({ organizationId, id }: typeof first) => ({ organizationId, apiKeyId: id });
    const uses = startLastUses({ db, logger, pauseMs: 50 });
    await db.transaction().execute(async (trx) => {
      await sql`select from api_keys where id = ${first.id} for update`.execute(trx);
      uses.note(caller(first));
      uses.note(caller(second));
      await eventually(async () => expect(await lastUsed(second)).not.toBeNull());
      expect(await lastUsed(first)).toBeNull();
    });
    await eventually(async () => expect(await lastUsed(first)).not.toBeNull());
    await uses[Symbol.asyncDispose]();
  });

  test("is written when a replica stops, and never goes back", async () => {
    const made = await anOrganization();
    const caller = { organizationId: made.organizationId, apiKeyId: made.id };
    const later = new Date(Date.now() + 3_600_000);
    await db.updateTable("api_keys").set({ last_used_at: later }).where("id", "=", made.id).execute();
    const other = await anOrganization();
    const uses = startLastUses({ db, logger });
    uses.note(caller);
    uses.note({ organizationId: other.organizationId, apiKeyId: other.id });
    await uses[Symbol.asyncDispose]();
    expect((await findKey(db, made.organizationId, made.id))?.lastUsedAt).toEqual(later);
    expect((await findKey(db, other.organizationId, other.id))?.lastUsedAt).not.toBeNull();
  });
});
