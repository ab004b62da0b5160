import { sql } from "kysely";
import type { Trx } from "../jobs/batch-jobs.ts";
import type { Database } from "../connections/database.ts";
import { plainArray } from "../leasing/lease-rows.ts";
import type { EventFilter } from "./events.ts";
import type { EndpointKey } from "./webhook-endpoints.ts";

/*
 * Who delivers to an endpoint: one replica, which holds it for some seconds and then anew. What it writes of an
 * endpoint it writes only while it holds it. A replica that is gone lets go by the time alone.
 */

/** For so long a replica holds an endpoint, and when it has no more left than this it holds it anew. */
const holdMs = 6_000;
const anewMs = 4_000;

/** So many are taken up at a time, so that replicas that begin together share them. */
const mostTaken = 50;

const isFree = sql`(holder is null or held_until <= clock_timestamp())`;
const holdsUntil = sql`clock_timestamp() + ${holdMs}::int * interval '1 millisecond'`;

/** Holds anew what this replica holds, and some of what nobody does. It waits for nobody. */
export async function holdEndpoints(db: Database, holder: string): Promise<void> {
  await sql`
    update webhook_endpoints e set held_until = ${holdsUntil}
    from (
      select organization_id, id from webhook_endpoints
      where holder = ${holder} and held_until < clock_timestamp() + ${anewMs}::int * interval '1 millisecond'
      for no key update skip locked
    ) as own
    where e.organization_id = own.organization_id and e.id = own.id
  `.execute(db);
  await sql`
    update webhook_endpoints e set holder = ${holder}, held_until = ${holdsUntil}
    from (
      select organization_id, id from webhook_endpoints where status <> 'deleted' and ${isFree}
      limit ${mostTaken} for no key update skip locked
    ) as free
    where e.organization_id = free.organization_id and e.id = free.id
  `.execute(db);
}

/** Lets others hold these at once, or all that this replica holds. */
export async function releaseEndpoints(db: Database, holder: string): Promise<void> {
  await sql`update webhook_endpoints set holder = null, held_until = null where holder = ${holder}`.execute(
    db,
  );
}

/** What a replica sees of an endpoint that it holds whenever it looks. */
export type HeldEndpoint = EndpointKey & {
  readonly heldMs: number;
  /** Moves with what a command changes. */
  readonly revision: number;
  readonly isEnabled: boolean;
  readonly sequence: number;
  readonly headSequence: number;
  readonly firstSequence: number;
  readonly replays: number;
  readonly replayAfter: number | null;
  readonly replayTo: number | null;
  readonly pendingDeliveries: number;
  /** For how long everything has failed; null if the last of what was sent was taken. */
  readonly failingMs: number | null;
  /** Whether something is to be sent again. */
  readonly isDue: boolean;
};

const msSince = (column: string) =>
  sql`extract(epoch from clock_timestamp() - ${sql.ref(column)})::float8 * 1000`;

/** Everything that this replica holds. */
export async function readHeld(db: Database, holder: string): Promise<HeldEndpoint[]> {
  const { rows } = await sql<HeldEndpoint>`
    select e.organization_id as "organizationId", e.id, -${msSince("e.held_until")} as "heldMs", e.revision,
      e.status = 'enabled' as "isEnabled", e.sequence, coalesce(h.sequence, 0) as "headSequence",
      coalesce(h.first_sequence, 1) as "firstSequence", e.replays, e.replay_after as "replayAfter",
      e.replay_to as "replayTo", e.pending_deliveries as "pendingDeliveries",
      ${msSince("e.failing_since")} as "failingMs",
      e.pending_deliveries > 0 and exists (
        select from webhook_deliveries d
        where d.organization_id = e.organization_id and d.endpoint_id = e.id and d.due_at <= clock_timestamp()
      ) as "isDue"
    from webhook_endpoints e
    left join lateral (
      select * from event_heads where organization_id = e.organization_id limit 1
    ) as h on true
    where e.holder = ${holder} and e.held_until > clock_timestamp() and e.status <> 'deleted'
  `.execute(db);
  return rows;
}

/** What is sent to an endpoint, and how. */
export type EndpointConfig = EndpointKey &
  EventFilter & {
    readonly revision: number;
    readonly url: string;
    readonly secret: string;
    readonly oldSecret: string | null;
    readonly oldSecretExpiresAt: Date | null;
  };

/** Of those that are deleted, perhaps since they were held, there are none. */
export async function readConfigs(db: Database, keys: readonly EndpointKey[]): Promise<EndpointConfig[]> {
  const organizationIds = plainArray(keys.map(({ organizationId }) => organizationId));
  const { rows } = await sql<EndpointConfig>`
    select e.organization_id as "organizationId", e.id, e.revision, e.url, e.types, e.batch_job_ids as "batchJobIds",
      e.secret, e.old_secret as "oldSecret", e.old_secret_expires_at as "oldSecretExpiresAt"
    from unnest(${organizationIds}::int[], ${plainArray(keys.map(({ id }) => id))}::uuid[]) as g (organization_id, id)
    join webhook_endpoints e on e.organization_id = g.organization_id and e.id = g.id and e.status <> 'deleted'
  `.execute(db);
  return rows;
}

/** How far a holder has come. */
export type Progress = {
  /** Of the log; it goes no way back. */
  readonly sequence: number;
  /** Of the replay of this number, if it is still the one that goes on; null after its end. */
  readonly replay: { readonly number: number; readonly after: number | null } | undefined;
  readonly hasDelivered: boolean;
};

const isHeld = ({ organizationId, id }: EndpointKey, holder: string) => sql`
  e.organization_id = ${organizationId} and e.id = ${id} and e.holder = ${holder}
    and e.held_until > clock_timestamp() and e.status <> 'deleted'`;

const progressed = ({ sequence, replay, hasDelivered }: Progress) => {
  const replayed = replay === undefined ? sql`false` : sql`e.replays = ${replay.number}::int`;
  const after = sql`${replay?.after ?? null}::bigint`;
  return sql`
    sequence = greatest(e.sequence, ${sequence}::bigint),
    replay_to = case when ${replayed} and ${after} is null then null else e.replay_to end,
    replay_after = case when ${replayed} and e.replay_to is not null then ${after} else e.replay_after end,
    last_delivered_at = case when ${hasDelivered}::bool then clock_timestamp() else e.last_delivered_at end,
    failing_since = case when ${hasDelivered}::bool then null else e.failing_since end,
    failing_told_at = case when ${hasDelivered}::bool then null else e.failing_told_at end`;
};

/** Keeps how far a holder has come; false if it holds the endpoint no more. */
export async function keepProgress(
  db: Database | Trx,
  key: EndpointKey,
  holder: string,
  progress: Progress,
): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update webhook_endpoints e set ${progressed(progress)} where ${isHeld(key, holder)}
  `.execute(db);
  return numAffectedRows === 1n;
}

/** How an endpoint fails, as its holder has locked it. */
export type Failing = {
  readonly isEnabled: boolean;
  readonly failingSince: Date | null;
  readonly failingMs: number | null;
  /** How long ago that was last told; null if it was not. */
  readonly toldMs: number | null;
};

/** Locks an endpoint; undefined if this replica holds it no more. */
export async function lockHeld(trx: Trx, key: EndpointKey, holder: string): Promise<Failing | undefined> {
  const { rows } = await sql<Failing>`
    select e.status = 'enabled' as "isEnabled", e.failing_since as "failingSince",
      ${msSince("e.failing_since")} as "failingMs", ${msSince("e.failing_told_at")} as "toldMs"
    from webhook_endpoints e where ${isHeld(key, holder)} for no key update
  `.execute(trx);
  return rows[0];
}

/** Counts how many more deliveries wait, and since when everything fails; of an endpoint that the holder has locked. */
export async function keepFailing(
  trx: Trx,
  { organizationId, id }: EndpointKey,
  failed: { more: number; isFailing: boolean; isTold: boolean },
): Promise<void> {
  await sql`
    update webhook_endpoints e set pending_deliveries = pending_deliveries + ${failed.more}::int,
      failing_since = case when ${failed.isFailing}::bool then coalesce(e.failing_since, clock_timestamp())
        else e.failing_since end,
      failing_told_at = case when ${failed.isTold}::bool then clock_timestamp() else e.failing_told_at end
    where e.organization_id = ${organizationId} and e.id = ${id}
  `.execute(trx);
}

/**
 * Moves an endpoint on to a place in the log, or the replay of this number that goes on; 0 is none. Answers how many
 * numbers are passed over, 0 if the endpoint is not held or the replay is over.
 */
export async function skipMissed(
  trx: Trx,
  key: EndpointKey,
  holder: string,
  { replay, place }: { replay: number; place: number },
): Promise<number> {
  const track = sql.ref(replay === 0 ? "sequence" : "replay_after");
  const goesOn = replay === 0 ? sql`true` : sql`e.replays = ${replay}::int and e.replay_to is not null`;
  const { rows } = await sql<{ missed: number }>`
    update webhook_endpoints e
    set ${track} = ${place}::bigint, missed_events = e.missed_events + ${place}::bigint - e.${track}
    from (
      select e.${track} as place from webhook_endpoints e where ${isHeld(key, holder)} for no key update
    ) as before
    where ${isHeld(key, holder)} and ${goesOn} and e.${track} < ${place}::bigint
    returning ${place}::bigint - before.place as missed
  `.execute(trx);
  return rows[0]?.missed ?? 0;
}
