import { sql } from "kysely";
import { BatchJobError } from "../../domain/batch-job-error.ts";
import type { Trx } from "./batch-jobs.ts";
import type { Database } from "../connections/database.ts";
import { keptSince, organizationsWithOver, purgeOver } from "../day-old.ts";

/** The caller's id for a command. It is another one for another RPC. */
export type RequestName = { readonly rpc: string; readonly requestId: string };

/** What makes a command safe to repeat: its id, and a hash of what was asked. */
export type RequestKey = RequestName & { readonly organizationId: number; readonly fingerprint: Buffer };

/** What is kept of the first call of a request. */
export type KeptAnswer = {
  readonly fingerprint: Buffer;
  readonly answer: unknown;
  /** Null until its Redis half is done; then whether that took an entry out of the schedule. */
  readonly entryRemoved: boolean | null;
};

/** Tells the requests of an organization apart. */
export const nameOf = ({ rpc, requestId }: RequestName): string => `${rpc} ${requestId}`;

/** Refuses the answer of another request. */
export function checkSame(kept: KeptAnswer, key: RequestKey): void {
  if (kept.fingerprint.equals(key.fingerprint)) return;
  throw new BatchJobError(
    "request_id_reused",
    "This request_id belongs to another request; give every new request a new one.",
    { field: "request_id", requestId: key.requestId },
  );
}

/**
 * Takes the id for this transaction, or answers what was kept under it. A second call with the same id waits until the
 * first one's transaction has ended. With another request than the first one's: request_id_reused.
 */
export async function claimRequest(trx: Trx, key: RequestKey): Promise<KeptAnswer | undefined> {
  const claimed = await trx
    .insertInto("requests")
    .values({
      organization_id: key.organizationId,
      rpc: key.rpc,
      request_id: key.requestId,
      fingerprint: key.fingerprint,
    })
    .onConflict((conflict) =>
      conflict
        .columns(["organization_id", "rpc", "request_id"])
        .doUpdateSet((eb) => ({
          fingerprint: eb.ref("excluded.fingerprint"),
          created_at: eb.ref("excluded.created_at"),
          answer: null,
          entry_removed: null,
        }))
        .where("requests.created_at", "<", keptSince),
    )
    .returning("request_id")
    .executeTakeFirst();
  if (claimed !== undefined) return undefined;
  const kept = await ofKey(trx.selectFrom("requests").selectAll(), key).executeTakeFirstOrThrow();
  const { fingerprint, answer, entry_removed: entryRemoved } = kept;
  const first = { fingerprint, answer, entryRemoved };
  checkSame(first, key);
  return first;
}

/** As a condition it would have rows looked for by their age. */
const isStillKept = sql<boolean>`created_at >= ${keptSince}`;

/**
 * True if an answer is kept under the id, whatever was asked. It may be gone by the time that the id is claimed, which
 * whoever has left something undone for it looks at.
 */
export async function isKept(db: Database, key: Omit<RequestKey, "fingerprint">): Promise<boolean> {
  const found = await ofKey(
    db.selectFrom("requests").select(isStillKept.as("isKept")),
    key,
  ).executeTakeFirst();
  return found?.isKept === true;
}

/** The same; refuses that of another request. */
export async function checkUnused(db: Database, key: RequestKey): Promise<"kept" | "unused"> {
  const found = ofKey(db.selectFrom("requests").selectAll().select(isStillKept.as("isKept")), key);
  const kept = await found.executeTakeFirst();
  if (kept?.isKept !== true) return "unused";
  checkSame({ fingerprint: kept.fingerprint, answer: kept.answer, entryRemoved: kept.entry_removed }, key);
  return "kept";
}

/** Keeps the answer with what the transaction did. */
export async function keepAnswer(trx: Trx, key: RequestKey, answer: unknown): Promise<void> {
  await ofKey(trx.updateTable("requests").set({ answer: JSON.stringify(answer) }), key).execute();
}

/** Up to `limit` organizations that have expired ids. */
export const organizationsWithExpired = (db: Database, limit: number): Promise<number[]> =>
  organizationsWithOver(db, "requests", limit);

/** Removes up to `size` expired ids of an organization; answers how many. */
export const purgeRequests = (db: Database, organizationId: number, size: number): Promise<number> =>
  purgeOver(db, "requests", organizationId, size);

type ByKey<Q> = {
  where(column: "organization_id", operator: "=", value: number): Q;
  where(column: "rpc" | "request_id", operator: "=", value: string): Q;
};

const ofKey = <Q extends ByKey<Q>>(query: Q, key: Omit<RequestKey, "fingerprint">): Q =>
  query
    .where("organization_id", "=", key.organizationId)
    .where("rpc", "=", key.rpc)
    .where("request_id", "=", key.requestId);
