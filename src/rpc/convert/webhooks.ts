import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type {
  DeliveryStatus,
  DisabledReason,
  WebhookDelivery,
  WebhookEndpoint,
} from "../../domain/webhook.ts";
import {
  type WebhookDeliverySchema,
  WebhookDeliveryStatus,
  WebhookDisabledReason,
  type WebhookEndpointSchema,
} from "../../gen/callsheet/v1/webhook_pb.ts";
import { at } from "./convert.ts";

const disabledReasons: Record<DisabledReason, WebhookDisabledReason> = {
  command: WebhookDisabledReason.COMMAND,
  failing: WebhookDisabledReason.FAILING,
  gone: WebhookDisabledReason.GONE,
};

export const toDisabledReason = (reason: DisabledReason | null): WebhookDisabledReason =>
  reason === null ? WebhookDisabledReason.UNSPECIFIED : disabledReasons[reason];

export const toEndpoint = (endpoint: WebhookEndpoint): MessageInitShape<typeof WebhookEndpointSchema> => ({
  webhookEndpointId: endpoint.id,
  url: endpoint.url,
  types: [...endpoint.types],
  batchJobIds: [...endpoint.batchJobIds],
  description: endpoint.description,
  enabled: endpoint.disabledReason === null,
  disabledReason: toDisabledReason(endpoint.disabledReason),
  createdAt: timestampFromDate(endpoint.createdAt),
  updatedAt: timestampFromDate(endpoint.updatedAt),
  sequence: BigInt(endpoint.sequence),
  behind: BigInt(endpoint.headSequence - endpoint.sequence),
  pendingDeliveries: endpoint.pendingDeliveries,
  ...at("failingSince", endpoint.failingSince),
  ...at("lastDeliveredAt", endpoint.lastDeliveredAt),
  missedEvents: BigInt(endpoint.missedEvents),
  ...at("oldSecretExpiresAt", endpoint.oldSecretExpiresAt),
  replayAfterSequence: BigInt(endpoint.replayAfter ?? 0),
  replayToSequence: BigInt(endpoint.replayTo ?? 0),
});

const deliveryStatuses: Record<DeliveryStatus, WebhookDeliveryStatus> = {
  pending: WebhookDeliveryStatus.PENDING,
  delivered: WebhookDeliveryStatus.DELIVERED,
  failed: WebhookDeliveryStatus.FAILED,
};

export const toDelivery = (delivery: WebhookDelivery): MessageInitShape<typeof WebhookDeliverySchema> => ({
  webhookId: delivery.id,
  type: delivery.type,
  events: delivery.events,
  firstSequence: BigInt(delivery.firstSequence),
  lastSequence: BigInt(delivery.lastSequence),
  status: deliveryStatuses[delivery.status],
  attempts: delivery.attempts,
  createdAt: timestampFromDate(delivery.createdAt),
  ...at("attemptedAt", delivery.attemptedAt),
  ...at("nextAttemptAt", delivery.dueAt),
  httpStatus: delivery.httpStatus ?? 0,
  failure: delivery.failure ?? "",
  durationMs: delivery.durationMs ?? 0,
  answer: delivery.answer ?? "",
});
