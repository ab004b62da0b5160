import { type RawBuilder, sql } from "kysely";
import type { EventType } from "../../domain/event.ts";
import { type DisabledReason, type WebhookEndpoint, testType } from "../../domain/webhook.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import type { Database } from "../connections/database.ts";

/*
 * The endpoints of organizations, as commands change them. A command locks the organization first, then the endpoint; a
 * replica that delivers locks the endpoint alone. Secrets are read where they sign (webhook-holders.ts), and nowhere
 * else.
 */

/** An endpoint, and whose it is. */
export type EndpointKey = { readonly organizationId: number; readonly id: string };

const isIt = ({ organizationId, id }: EndpointKey) =>
  sql`e.organization_id = ${organizationId} and e.id = ${id}`;
const isThere = sql`e.status <> 'deleted'`;

const shown = sql`
  e.id, e.url, e.types, e.batch_job_ids as "batchJobIds", e.description, e.disabled_reason as "disabledReason",
  e.created_at as "createdAt", e.updated_at as "updatedAt", e.sequence,
  greatest(e.sequence, coalesce((
    select h.sequence from event_heads h where h.organization_id = e.organization_id), 0)) as "headSequence",
  e.pending_deliveries as "pendingDeliveries", e.failing_since as "failingSince",
  e.last_delivered_at as "lastDeliveredAt", e.missed_events as "missedEvents",
  case when e.old_secret_expires_at > clock_timestamp() then e.old_secret_expires_at end as "oldSecretExpiresAt",
  e.replay_after as "replayAfter", e.replay_to as "replayTo"`;

/** The endpoints of an organization, the oldest first. */
export async function listEndpoints(db: Database | Trx, organizationId: number): Promise<WebhookEndpoint[]> {
  const { rows } = await sql<WebhookEndpoint>`
    select ${shown} from webhook_endpoints e where e.organization_id = ${organizationId} and ${isThere}
    order by e.created_at, e.id
  `.execute(db);
  return rows;
}

export async function findEndpoint(
  db: Database | Trx,
  key: EndpointKey,
): Promise<WebhookEndpoint | undefined> {
  const { rows } = await sql<WebhookEndpoint>`
    select ${shown} from webhook_endpoints e where ${isIt(key)} and ${isThere}
  `.execute(db);
  return rows[0];
}

/** Locks an endpoint; undefined if the organization has none of this id. */
export async function lockEndpoint(trx: Trx, key: EndpointKey): Promise<WebhookEndpoint | undefined> {
  await sql`select from webhook_endpoints e where ${isIt(key)} for no key update`.execute(trx);
  return await findEndpoint(trx, key);
}

export type NewEndpoint = {
  readonly url: string;
  readonly types: readonly EventType[];
  readonly batchJobIds: readonly string[];
  readonly description: string;
  readonly secret: string;
};

/** Makes an endpoint whose place is where the log ends now. */
export async function insertEndpoint(
  trx: Trx,
  organizationId: number,
  endpoint: NewEndpoint,
): Promise<WebhookEndpoint> {
  const { url, types, batchJobIds, description, secret } = endpoint;
  const { rows } = await sql<WebhookEndpoint>`
    insert into webhook_endpoints as e (organization_id, url, types, batch_job_ids, description, secret, sequence)
    values (${organizationId}, ${url}, ${types}::text[], ${batchJobIds}::uuid[], ${description}, ${secret},
      coalesce((select sequence from event_heads where organization_id = ${organizationId}), 0))
    returning ${shown}
  `.execute(trx);
  const [made] = rows;
  if (made === undefined) throw new Error("an endpoint was not made");
  return made;
}

async function change(
  trx: Trx,
  key: EndpointKey,
  assignments: readonly RawBuilder<unknown>[],
): Promise<WebhookEndpoint> {
  const { rows } = await sql<WebhookEndpoint>`
    update webhook_endpoints e
    set ${sql.join([...assignments, sql`revision = revision + 1`, sql`updated_at = clock_timestamp()`])}
    where ${isIt(key)} returning ${shown}
  `.execute(trx);
  const [changed] = rows;
  if (changed === undefined) throw new Error("an endpoint that was locked is gone");
  return changed;
}

/** Of what waits to be sent again; tests are sent to endpoints that are disabled too. */
const waits = ({ organizationId, id }: EndpointKey) => sql`
  organization_id = ${organizationId} and endpoint_id = ${id} and status = 'pending' and type <> ${testType}`;

/** Has nothing more sent to an endpoint, which the transaction has locked; what waited keeps waiting. */
export async function disableEndpoint(
  trx: Trx,
  key: EndpointKey,
  reason: DisabledReason,
): Promise<WebhookEndpoint> {
  await sql`update webhook_deliveries set due_at = null where ${waits(key)}`.execute(trx);
  return await change(trx, key, [sql`status = 'disabled'`, sql`disabled_reason = ${reason}`]);
}

/** Has it go on where it was; what waited is sent at once. */
async function enableEndpoint(trx: Trx, key: EndpointKey): Promise<WebhookEndpoint> {
  await sql`update webhook_deliveries set due_at = clock_timestamp() where ${waits(key)}`.execute(trx);
  return await change(trx, key, [
    sql`status = 'enabled'`,
    sql`disabled_reason = null`,
    sql`failing_since = null`,
    sql`failing_told_at = null`,
  ]);
}

/** New values of what can be changed. */
export type EndpointChanges = Partial<Omit<NewEndpoint, "secret">> & { readonly enabled?: boolean };

const columns = {
  url: ({ url }: EndpointChanges) => sql`url = ${url}`,
  types: ({ types }: EndpointChanges) => sql`types = ${types}::text[]`,
  batchJobIds: ({ batchJobIds }: EndpointChanges) => sql`batch_job_ids = ${batchJobIds}::uuid[]`,
  description: ({ description }: EndpointChanges) => sql`description = ${description}`,
};

/** Changes an endpoint, which the transaction has locked, in these of its settings. */
export async function updateEndpoint(
  trx: Trx,
  key: EndpointKey,
  changes: EndpointChanges,
): Promise<WebhookEndpoint> {
  const names = (Object.keys(columns) as (keyof typeof columns)[]).filter((name) => name in changes);
  const changed = await change(
    trx,
    key,
    names.map((name) => columns[name](changes)),
  );
  if (changes.enabled === undefined) return changed;
  return await (changes.enabled ? enableEndpoint(trx, key) : disableEndpoint(trx, key, "command"));
}

/** For so long the old one signs beside the new one. */
const overlapHours = 24;

export const replaceSecret = (trx: Trx, key: EndpointKey, secret: string): Promise<WebhookEndpoint> =>
  change(trx, key, [
    sql`old_secret = secret`,
    sql`old_secret_expires_at = clock_timestamp() + make_interval(hours => ${overlapHours}::int)`,
    sql`secret = ${secret}`,
  ]);

/** Has the events after one sent again, up to another; a replay that goes on ends. */
export const startReplay = (
  trx: Trx,
  key: EndpointKey,
  part: { after: number; to: number },
): Promise<WebhookEndpoint> =>
  change(trx, key, [
    sql`replays = replays + 1`,
    sql`replay_after = ${part.after}::bigint`,
    sql`replay_to = ${part.to}::bigint`,
  ]);

/** What is left of it is for nobody to see; purgeDeliveries removes its rows. */
export async function deleteEndpoint(trx: Trx, key: EndpointKey): Promise<void> {
  await change(trx, key, [
    sql`status = 'deleted'`,
    sql`disabled_reason = null`,
    sql`url = ''`,
    sql`secret = ''`,
    sql`old_secret = null`,
    sql`old_secret_expires_at = null`,
    sql`holder = null`,
    sql`held_until = null`,
  ]);
}
