import { inject } from "vitest";
import { createLeaseRound } from "../../src/leasing/lease-round.ts";
import { createLeasing } from "../../src/leasing/leasing.ts";
import { createRecorder } from "../../src/leasing/recorder.ts";
import { openRedis } from "../../src/redis/connection.ts";
import { onMessage } from "../../src/redis/signals.ts";
import type { Parts } from "../support/parts.ts";

/** The parts with their leasing told of work, and telling of it, as the service does: across replicas through Redis. */
export async function wired(
  parts: Parts,
  { longestSleepMs }: { longestSleepMs: number },
): Promise<Parts & AsyncDisposable> {
  const { shares, redis, contactList, reservations, clock, metrics, logger, keys } = parts;
  const stack = new AsyncDisposableStack();
  const subscriber = openRedis(inject("redisUrl"));
  stack.defer(() => subscriber.disconnect());
  const onFreed = (organizationId: number): void => {
    leasing.ring(organizationId);
    void redis.publish(keys.work, String(organizationId));
  };
  const recorder = stack.use(createRecorder({ shares, contactList, reservations, metrics, logger, onFreed }));
  const round = stack.use(createLeaseRound({ shares, reservations, clock, logger }));
  const leasing = stack.use(createLeasing({ shares, round, recorder, clock, logger, longestSleepMs }));
  const subscribed = Promise.withResolvers<void>();
  subscriber.once("ready", () =>
    subscriber.subscribe(keys.work).then(() => subscribed.resolve(), subscribed.reject),
  );
  onMessage(subscriber, keys.work, (organizationId) => leasing.ring(Number(organizationId)));
  await subscribed.promise;
  return { ...parts, recorder, leasing, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
