import type { Tell } from "../domain/event.ts";
import { type DeliveryStatus, type DisabledReason, testType } from "../domain/webhook.ts";
import type { Database } from "../postgres/connections/database.ts";
import { telling } from "../postgres/events/events.ts";
import {
  type AttemptedDelivery,
  type Parcel,
  keepDeliveries,
} from "../postgres/events/webhook-deliveries.ts";
import { type EndpointKey, disableEndpoint } from "../postgres/events/webhook-endpoints.ts";
import {
  type Failing,
  type Progress,
  keepFailing,
  keepProgress,
  lockHeld,
} from "../postgres/events/webhook-holders.ts";
import { retryDelayMs } from "./retry-times.ts";
import type { Sent } from "./sending.ts";

/** An attempt that has ended. */
export type Ended = {
  readonly parcel: Parcel;
  /** With this one. */
  readonly attempts: number;
  /** Whether it is a row, or is to be one however it went. */
  readonly isKept: boolean;
  readonly sent: Sent;
};

const hourMs = 3_600_000;

/** An endpoint that has failed for so long does nothing else: nothing is given up for it, and it is told of. */
const failsOnlyMs = hourMs;
const toldEveryMs = 24 * hourMs;
const disabledAfterMs = 120 * hourMs;

/** The attempt after which the longest time is waited. */
const lastRetry = 9;

const isTest = ({ parcel }: Ended): boolean => parcel.type === testType;
const hasFailed = ({ sent }: Ended): boolean => sent.failure !== undefined;

/** What becomes of a delivery after an attempt, and after how long it is tried again. */
function judge(ended: Ended, failsOnly: boolean): { status: DeliveryStatus; retryMs: number | null } {
  if (!hasFailed(ended)) return { status: "delivered", retryMs: null };
  if (isTest(ended)) return { status: "failed", retryMs: null };
  const { retryAfterMs } = ended.sent;
  const delayMs = (attempt: number) => retryDelayMs(attempt, retryAfterMs, Math.random());
  const retryMs = delayMs(ended.attempts) ?? (failsOnly ? delayMs(lastRetry) : undefined);
  return retryMs === undefined ? { status: "failed", retryMs: null } : { status: "pending", retryMs };
}

/**
 * What came at one time of the log and of a replay, or of two of them, is one delivery, of which the last attempt
 * counts, or one that was taken.
 */
function onePerDelivery(ended: readonly Ended[]): Ended[] {
  const byId = new Map<string, Ended>();
  for (const one of ended) {
    const before = byId.get(one.parcel.id);
    if (before === undefined || hasFailed(before)) byId.set(one.parcel.id, one);
  }
  return [...byId.values()];
}

const attemptedOf = (ended: Ended, failsOnly: boolean, isEnabled: boolean): AttemptedDelivery => {
  const { parcel, attempts, sent } = ended;
  const { status, retryMs } = judge(ended, failsOnly);
  return {
    ...parcel,
    attempts,
    status,
    retryMs: isEnabled ? retryMs : null,
    httpStatus: sent.status ?? null,
    failure: sent.failure ?? null,
    durationMs: sent.durationMs,
    answer: sent.answer,
  };
};

/**
 * Keeps what has ended at an endpoint, and how far its holder has come with it: all of it or nothing. What was taken at
 * the first attempt is not kept. False if another holds the endpoint now.
 */
export async function settle(
  db: Database,
  key: EndpointKey,
  holder: string,
  { progress, ended }: { progress: Progress; ended: readonly Ended[] },
): Promise<boolean> {
  const kept = onePerDelivery(ended.filter((one) => one.isKept || hasFailed(one)));
  if (kept.length === 0) return await keepProgress(db, key, holder, progress);
  return await db.transaction().execute((trx) =>
    telling(trx, key.organizationId, async (tell) => {
      const before = await lockHeld(trx, key, holder);
      if (before === undefined) return false;
      const { isEnabled } = before;
      const real = ended.filter((one) => !isTest(one));
      const isFailing = real.slice(-1).some(hasFailed);
      const failingMs = isFailing && !progress.hasDelivered ? (before.failingMs ?? 0) : 0;
      const failsOnly = failingMs >= failsOnlyMs;
      const attempted = kept.map((one) => attemptedOf(one, failsOnly, isEnabled));
      const more = await keepDeliveries(trx, key, attempted);
      await keepProgress(trx, key, holder, progress);
      const isTold = isEnabled && failsOnly && (before.toldMs ?? Infinity) >= toldEveryMs;
      await keepFailing(trx, key, { more, isFailing, isTold });
      const data = { webhookEndpointId: key.id, ...since(before) };
      if (isTold) tell({ type: "webhook_endpoint.failing", ...byItself, data });
      const reason = reasonToDisable(real, failingMs);
      if (isEnabled && reason !== undefined) {
        await disableEndpoint(trx, key, reason);
        tell({ type: "webhook_endpoint.disabled", ...byItself, data: { ...data, disabledReason: reason } });
      }
      return true;
    }),
  );
}

const byItself: Pick<Parameters<Tell>[0], "actor" | "requestId"> = { actor: "service", requestId: "" };

const since = ({ failingSince }: Failing) => (failingSince === null ? {} : { failingSince });

function reasonToDisable(ended: readonly Ended[], failingMs: number): DisabledReason | undefined {
  if (ended.some(({ sent }) => sent.failure === "gone")) return "gone";
  return failingMs >= disabledAfterMs ? "failing" : undefined;
}
