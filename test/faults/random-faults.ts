import { setTimeout as delay } from "node:timers/promises";
import { sql } from "kysely";
import type { Random } from "../support/random.ts";
import type { Replica } from "../support/replica.ts";
import type { System } from "./system.ts";

/** A fault, from its beginning to its end: when it resolves everything is whole again. */
export type Fault = { readonly name: string; inflict(): Promise<void> };

const on = (name: string, choose: () => Replica, inflict: (replica: Replica) => Promise<void>): Fault => ({
  name,
  inflict: () => inflict(choose()),
});

/**
 * Faults to choose from. The first replica is never killed or stopped, so that what it holds can be watched over the
 * whole time; everything else is done to it too.
 */
export function createFaults(
  { servers, replicas, withDatabase, withRedis }: System,
  random: Random,
): Fault[] {
  const any = () => random.pick(replicas);
  const mortal = () => random.pick(replicas.slice(1));
  const seconds = (least: number, most: number) => delay(1_000 * random.between(least, most));

  const between = (
    name: string,
    server: "postgres" | "redis",
    inflict: (replica: Replica) => Promise<void>,
  ) =>
    on(`${name} between a replica and ${server}`, any, async (replica) => {
      await inflict(replica);
      await replica[server].mend();
    });
  const restartRedis = async (data?: "nothing" | "snapshot") => {
    await servers.redis.kill();
    if (data !== undefined) await servers.redis.replaceData(data);
    await seconds(0, 3);
    await servers.redis.start();
  };

  return [
    on("kill -9 of a replica", mortal, async (replica) => {
      await replica.kill();
      await seconds(0, 3);
      await replica.start();
    }),
    on("restart of a replica", mortal, async (replica) => {
      await replica.stop();
      await replica.start();
    }),
    on("a replica frozen", any, async (replica) => {
      replica.freeze();
      await seconds(1, 13);
      replica.thaw();
    }),
    { name: "FLUSHALL", inflict: () => withRedis(async (redis) => void (await redis.flushall())) },
    { name: "kill -9 of Redis", inflict: () => restartRedis() },
    { name: "Redis empty", inflict: () => restartRedis("nothing") },
    {
      name: "Redis with a snapshot of a few seconds ago",
      async inflict() {
        await servers.redis.keepSnapshot();
        await seconds(2, 6);
        await restartRedis("snapshot");
      },
    },
    {
      name: "Redis frozen",
      async inflict() {
        await servers.redis.freeze();
        await seconds(1, 8);
        servers.redis.thaw();
      },
    },
    {
      name: "Postgres stopped at once",
      async inflict() {
        await servers.postgres.kill();
        await seconds(0, 3);
        await servers.postgres.start();
      },
    },
    {
      name: "every connection of Postgres terminated",
      inflict: () =>
        withDatabase(async (db) => {
          await sql`select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname is not null`.execute(
            db,
          );
        }),
    },
    {
      name: "Postgres frozen",
      async inflict() {
        await servers.postgres.freeze();
        await seconds(1, 8);
        servers.postgres.thaw();
      },
    },
    ...(["postgres", "redis"] as const).flatMap((server) => [
      between("no way", server, async (replica) => {
        await replica[server].cut();
        await seconds(1, 6);
      }),
      between("silence", server, async (replica) => {
        replica[server].freeze();
        await seconds(1, 6);
      }),
      between("a slow way", server, async (replica) => {
        replica[server].delay(random.between(20, 300));
        await seconds(2, 6);
      }),
      between("ten lost replies", server, async (replica) => {
        for (let i = 0; i < 10; i += 1) {
          const trap = replica[server].trap(() => random.chance(0.2), "drop the reply");
          await Promise.race([trap.sprung, delay(1_000)]);
          trap.disarm();
        }
      }),
    ]),
  ];
}
