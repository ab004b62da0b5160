import { randomBytes, randomUUID } from "node:crypto";
import { sql } from "kysely";
import type { CommandRequest } from "../../src/jobs/commands/command.ts";
import { writeEvents } from "../../src/postgres/events/events.ts";
import { eventJson } from "../../src/rpc/convert/events.ts";
import { startDelivering } from "../../src/webhooks/delivering.ts";
import { createSender } from "../../src/webhooks/sending.ts";
import { type Wanted, createWebhooks } from "../../src/webhooks/endpoints.ts";
import { makeApiKey } from "../support/api-key.ts";
import type { Parts } from "../support/parts.ts";

/** Receivers on this machine may be sent to. */
export const policy = { allowInsecure: true, allowedNetworks: undefined };

/** The commands on endpoints, over these parts. */
export const webhooksOf = ({ shares, clock }: Parts) =>
  createWebhooks({ shares, reads: shares, policy, now: clock.now });

/** The delivery of a replica, until disposed. */
export const deliver = ({ db, clock, metrics, logger }: Parts) =>
  startDelivering({ db, sender: createSender(policy), write: eventJson, now: clock.now, metrics, logger });

/** The same parts for an admin with a key of its own, in an organization that has nothing yet. */
export async function inNewOrganization(parts: Parts): Promise<Parts> {
  const { id, organizationId } = await makeApiKey(parts.db, {
    role: "admin",
    organization: `test ${randomUUID()}`,
  });
  return { ...parts, caller: { apiKeyId: id, organizationId, role: "admin" } };
}

export const request = ({ caller }: Pick<Parts, "caller">, requestId = ""): CommandRequest => ({
  caller,
  requestId,
  fingerprint: () => (requestId === "" ? randomBytes(32) : Buffer.from(requestId.padEnd(32))),
});

export const wanted = (url: string, fields: Partial<Wanted> = {}): Wanted => ({
  url,
  types: [],
  batchJobIds: [],
  description: "",
  ...fields,
});

const filler = { type: "organization.updated", actor: "service", requestId: "", data: {} } as const;

/** Writes so many events that nobody asked for; one commit has them all. */
export const fillLog = ({ db, caller }: Parts, count: number): Promise<void> =>
  db.transaction().execute((trx) =>
    writeEvents(
      trx,
      caller.organizationId,
      Array.from({ length: count }, () => filler),
    ),
  );

export async function headOf({ db, caller }: Parts): Promise<number> {
  const { rows } = await sql<{ sequence: number }>`
    select sequence from event_heads where organization_id = ${caller.organizationId}`.execute(db);
  return rows[0]?.sequence ?? 0;
}

/** What waits to be sent again is due now. */
export async function makeDue({ db, caller }: Parts): Promise<void> {
  await sql`
    update webhook_deliveries set due_at = clock_timestamp() where organization_id = ${caller.organizationId}
      and due_at is not null`.execute(db);
}

/** Lets so many hours pass for an endpoint that fails. */
export async function letFail({ db, caller }: Parts, hours: number): Promise<void> {
  await sql`
    update webhook_endpoints set failing_since = failing_since - make_interval(hours => ${hours}::int),
      failing_told_at = failing_told_at - make_interval(hours => ${hours}::int)
    where organization_id = ${caller.organizationId}`.execute(db);
}

/** The types of the events of the log that are about endpoints, with what they tell. */
export async function toldOf({
  db,
  caller,
}: Parts): Promise<{ type: string; data: Record<string, unknown> }[]> {
  const { rows } = await sql<{ type: string; data: Record<string, unknown> }>`
    select type, data from events where organization_id = ${caller.organizationId} and type like 'webhook%'
    order by sequence`.execute(db);
  return rows;
}

/** What came of an attempt that a receiver answered, and did not take. */
export const notTaken = {
  status: 500,
  failure: "status",
  durationMs: 1,
  answer: "",
  retryAfterMs: undefined,
} as const;
