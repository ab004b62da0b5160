import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import type { Database } from "../postgres/connections/database.ts";
import {
  type HeldEndpoint,
  holdEndpoints,
  readConfigs,
  readHeld,
  releaseEndpoints,
} from "../postgres/events/webhook-holders.ts";
import { jittered } from "../timing/loop.ts";
import { createSeats } from "../timing/seats.ts";
import { createTurns } from "../timing/turns.ts";
import { startServiceLoop } from "../vitals/loops.ts";
import type { Metrics } from "../vitals/metrics.ts";
import { type Courier, type CourierDeps, createCourier, mostAtOnce } from "./courier.ts";
import type { Sender } from "./sending.ts";

/** How often a replica looks at what it holds: so long events wait at most for others to come along. */
const lookMs = 200;
const idleLookMs = 1_000;

/** How often it holds anew, and takes up what nobody holds. */
const holdEveryMs = 1_000;

/** So much is on its way from a replica at once, beyond a first one to each endpoint. */
const mostBeyondFirst = 200;

/** So many of its couriers are at Postgres at once. */
const mostAtPostgres = 2;

/** What is on its way when the replica stops has so long. */
const finishMs = 3_000;

/**
 * Delivers to those endpoints that this replica holds, until disposed: then others may hold them at once. An endpoint
 * waits for no other one: each has room of its own for what is on its way.
 */
export function startDelivering(
  deps: Omit<CourierDeps, "holder" | "seats" | "inTurn" | "onFailure"> & {
    readonly db: Database;
    readonly sender: Sender;
    readonly metrics: Metrics;
    readonly logger: Logger;
  },
): AsyncDisposable {
  const { db, sender, logger } = deps;
  const holder = randomUUID();
  const couriers = new Map<string, Courier>();
  const seats = createSeats<string>(
    ({ own, beyondFirst }) => own === 0 || (own < mostAtOnce.usually && beyondFirst < mostBeyondFirst),
  );
  let isFailing = false;
  let holdMs = 0;
  const courierDeps: CourierDeps = {
    ...deps,
    holder,
    seats,
    inTurn: createTurns(mostAtPostgres),
    onFailure(error) {
      if (!isFailing) logger.error({ err: error }, "a delivery of webhooks fails; it is tried again");
      isFailing = true;
    },
  };

  async function tellCouriers(held: readonly HeldEndpoint[], readMs: number): Promise<void> {
    const news = held.filter(({ id, revision }) => couriers.get(id)?.revision !== revision);
    const configs = new Map(
      (news.length === 0 ? [] : await readConfigs(db, news)).map((config) => [config.id, config]),
    );
    for (const endpoint of held) {
      const { id, organizationId } = endpoint;
      const config = configs.get(id);
      let courier = couriers.get(id);
      if (courier === undefined && config !== undefined) {
        courier = createCourier({ organizationId, id }, endpoint, config, courierDeps);
        couriers.set(id, courier);
      }
      courier?.hear(endpoint, readMs, config);
    }
  }

  const loop = startServiceLoop("the delivery of webhooks", {
    async pass() {
      const beganMs = performance.now();
      if (beganMs >= holdMs) {
        await holdEndpoints(db, holder);
        holdMs = beganMs + jittered(holdEveryMs);
      }
      const readMs = performance.now();
      const held = await readHeld(db, holder);
      const ids = new Set(held.map(({ id }) => id));
      for (const [id, courier] of couriers) {
        if (ids.has(id) && !courier.isAbandoned) continue;
        courier.abandon();
        couriers.delete(id);
      }
      await tellCouriers(held, readMs);
      isFailing = false;
      return held.length > 0 ? Math.max(1, lookMs - (performance.now() - beganMs)) : jittered(idleLookMs);
    },
    retryMs: idleLookMs,
    logger,
  });

  return {
    async [Symbol.asyncDispose]() {
      await loop[Symbol.asyncDispose]();
      const finished = await Promise.allSettled([...couriers.values()].map((one) => one.finish(finishMs)));
      for (const one of finished) if (one.status === "rejected") courierDeps.onFailure(one.reason);
      await releaseEndpoints(db, holder).catch(courierDeps.onFailure);
      await sender.close();
    },
  };
}
