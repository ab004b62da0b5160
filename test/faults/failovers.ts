import { expect } from "vitest";
import { eventually } from "../support/eventually.ts";
import { startOwnServers } from "../support/servers/own-servers.ts";
import { type PostgresPair, startPostgresPair } from "../support/servers/postgres-pair.ts";
import { type System, startSystem } from "./system.ts";

/*
 * Postgres fails over to a streaming standby, under load. The address moves as a virtual one does: what stands between
 * a replica and Postgres leads new connections to the new primary.
 */

/** Two replicas on a Postgres that has such a standby. */
export async function startOnPair(
  kind: "synchronous" | "asynchronous",
): Promise<AsyncDisposable & { system: System; pair: PostgresPair }> {
  const pair = await startPostgresPair(kind);
  const startServers = () => startOwnServers(() => Promise.resolve(pair));
  const system = await startSystem({ replicas: 2, seed: 8, startServers });
  return { system, pair, [Symbol.asyncDispose]: () => system[Symbol.asyncDispose]() };
}

/** How calls may end while it happens, but for refusals that the state of a job explains. */
export const failures = new Set(["internal", "unknown", "data_loss", "unimplemented", "unauthenticated"]);

/** Fails with the jobs that are due, or run, and are not over. */
export const expectNoneStuck = (system: System, withinMs: number) =>
  system.withDatabase((db) =>
    eventually(async () => {
      const open = await db
        .selectFrom("batch_jobs")
        .select(["id", "status", "pending_contacts", "waiting_retry_contacts", "dialing_contacts"])
        .where("status", "in", ["running", "scheduled"])
        .execute();
      expect(open).toEqual([]);
    }, withinMs),
  );
