import type { EventType } from "./event.ts";
import type { SendFailure } from "./send-failure.ts";

/** Why nothing is sent to an endpoint. */
export type DisabledReason = "command" | "failing" | "gone";

/** An endpoint without its secrets. */
export type WebhookEndpoint = {
  readonly id: string;
  readonly url: string;
  /** Of the log; none means all, as of jobs. */
  readonly types: readonly EventType[];
  readonly batchJobIds: readonly string[];
  readonly description: string;
  /** Null while it is enabled. */
  readonly disabledReason: DisabledReason | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  /** What is asked for of the log up to here was taken, or is among the deliveries. */
  readonly sequence: number;
  /** Where the log ends. */
  readonly headSequence: number;
  readonly pendingDeliveries: number;
  readonly failingSince: Date | null;
  readonly lastDeliveredAt: Date | null;
  readonly missedEvents: number;
  readonly oldSecretExpiresAt: Date | null;
  readonly replayAfter: number | null;
  readonly replayTo: number | null;
};

export type DeliveryStatus = "pending" | "delivered" | "failed";

/** What was sent to an endpoint, or is to be, and is kept as a row. */
export type WebhookDelivery = {
  readonly id: string;
  readonly type: string;
  readonly events: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly status: DeliveryStatus;
  readonly attempts: number;
  readonly createdAt: Date;
  readonly attemptedAt: Date | null;
  readonly dueAt: Date | null;
  readonly httpStatus: number | null;
  readonly failure: SendFailure | null;
  readonly durationMs: number | null;
  readonly answer: string | null;
};

/** The type of a body that somebody has asked for to see whether it arrives. */
export const testType = "webhook_endpoint.test";
