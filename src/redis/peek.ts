import { type RedisClient, mastersOf, redisStep } from "./connection.ts";
import { type JobInSets, type Keys, setsOf } from "./keys.ts";

/** What Redis tells to those who may only read. */
export function createPeek(redis: RedisClient, keys: Keys) {
  return {
    /** How many numbers of a job are listed or reserved, by the sets of time zones that they are in. */
    async counts(job: JobInSets): Promise<number[]> {
      return await redisStep("reading a list", () =>
        Promise.all(
          setsOf(job).map(
            async (zoneSet) =>
              (await redis.llen(keys.contacts(job, zoneSet))) +
              (await redis.zcard(keys.reserved(job, zoneSet))),
          ),
        ),
      );
    },
    /** The id of the installation whose keys these are, if one has said so. */
    installation: () => redisStep("reading whose keys these are", () => redis.get(keys.installation)),
    /** The time of each master, unix ms. */
    times: () =>
      Promise.all(
        mastersOf(redis).map(async (master) => {
          const [seconds, microseconds] = await redisStep("reading the time", () => master.time());
          return Number(seconds) * 1000 + Number(microseconds) / 1000;
        }),
      ),
    /** Fields of each master's INFO. */
    infos: () =>
      Promise.all(
        mastersOf(redis).map(async (master) => {
          const text = await redisStep("reading the server's settings", () => master.info());
          return (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(text)?.[1];
        }),
      ),
  };
}
