import { type JsonValue, type MessageInitShape, create, fromJson, toJson } from "@bufbuild/protobuf";
import {
  type Timestamp,
  type Value,
  ValueSchema,
  durationFromMs,
  timestampFromDate,
} from "@bufbuild/protobuf/wkt";
import type { JobStatus } from "../../domain/jobs/batch-job.ts";
import type { Role } from "../../domain/caller.ts";
import type { AttemptEnded, ContactCounts, EventType, LoggedEvent } from "../../domain/event.ts";
import type { DisabledReason } from "../../domain/webhook.ts";
import { ActorKind, EventSchema } from "../../gen/callsheet/v1/event_pb.ts";
import { protoContactStatuses, protoOutcomes, protoRoles, protoStatuses, toStoredCounts } from "./convert.ts";
import { toDisabledReason } from "./webhooks.ts";

const protoActors: Record<LoggedEvent["actor"], ActorKind> = {
  api_key: ActorKind.API_KEY,
  command_line: ActorKind.COMMAND_LINE,
  service: ActorKind.SERVICE,
  scheduler: ActorKind.SCHEDULER,
  lease_expiry: ActorKind.LEASE_EXPIRY,
  breaker: ActorKind.BREAKER,
  worker: ActorKind.WORKER,
};

/** A time in what was written as JSON. */
const when = <K extends string>(field: K, text: unknown): { [P in K]?: Timestamp } =>
  typeof text === "string"
    ? ({ [field]: timestampFromDate(new Date(text)) } as { [P in K]?: Timestamp })
    : {};

const lasting = (field: string, ms: unknown) =>
  typeof ms === "number" ? { [field]: durationFromMs(ms) } : {};

const snake = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const isMs = (name: string): boolean => name.endsWith("Ms");

/** A setting as the API has it: names with underscores, and durations in seconds. */
function asApi(name: string, value: unknown): JsonValue {
  if (Array.isArray(value)) return value.map((one) => asApi(name, one));
  if (typeof value === "number") return isMs(name) ? `${value / 1_000}s` : value;
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [fieldOf(key), asApi(key, one)]));
  }
  return typeof value === "string" || typeof value === "boolean" ? value : null;
}

const fieldOf = (name: string): string => snake(isMs(name) ? name.slice(0, -2) : name);

const toValue = (name: string, settings: Settings): Value | undefined =>
  Object.hasOwn(settings, name) ? fromJson(ValueSchema, asApi(name, settings[name])) : undefined;

type Settings = Readonly<Record<string, unknown>>;

function toSettings({
  changed,
  before = {},
  after = {},
}: {
  changed?: string[];
  before?: Settings;
  after?: Settings;
}) {
  const changes = (changed ?? Object.keys(after)).map((name) => {
    const [was, is] = [toValue(name, before), toValue(name, after)];
    return { field: fieldOf(name), ...(was && { before: was }), ...(is && { after: is }) };
  });
  return { case: "settingsUpdated" as const, value: { changes } };
}

const toEnded = (
  status: JobStatus,
  { failureReason, counts }: { failureReason?: string; counts?: ContactCounts },
) => ({
  case: "batchJobEnded" as const,
  value: {
    failureReason: failureReason ?? "",
    ...(counts === undefined ? {} : { counts: toStoredCounts(status, counts.total, counts) }),
  },
});

type Data = NonNullable<MessageInitShape<typeof EventSchema>["data"]>;

const toKey = (data: { apiKeyId: string; role: Role; expiresAt?: string }) => ({
  case: "apiKeyChanged" as const,
  value: { apiKeyId: data.apiKeyId, role: protoRoles[data.role], ...when("expiresAt", data.expiresAt) },
});

const toPhones = (data: { givenPhones: number; addedPhones?: number; removedPhones?: number }) => ({
  case: "suppressedPhonesChanged" as const,
  value: { givenPhones: data.givenPhones, changedPhones: data.addedPhones ?? data.removedPhones ?? 0 },
});

const toWebhook = (data: {
  webhookEndpointId: string;
  changedFields?: string[];
  disabledReason?: DisabledReason;
  failingSince?: string;
  missedEvents?: number;
}) => ({
  case: "webhookEndpointChanged" as const,
  value: {
    webhookEndpointId: data.webhookEndpointId,
    changedFields: data.changedFields ?? [],
    disabledReason: toDisabledReason(data.disabledReason ?? null),
    ...when("failingSince", data.failingSince),
    missedEvents: BigInt(data.missedEvents ?? 0),
  },
});

/** What is in `data` of each type, as src/jobs and src/postgres write it. */
const readers: Record<EventType, (data: never, event: LoggedEvent) => Data> = {
  "batch_job.created": (data: { status: JobStatus; totalContacts: number; rejectedContacts: number }) => ({
    case: "batchJobCreated",
    value: {
      status: protoStatuses[data.status],
      totalContacts: data.totalContacts,
      rejectedContacts: data.rejectedContacts,
    },
  }),
  "batch_job.updated": toSettings,
  "organization.updated": toSettings,
  "organization.created": () => ({ case: undefined }),
  "batch_job.contacts_added": (data: { acceptedContacts: number; totalContacts: number }) => ({
    case: "contactsAdded",
    value: data,
  }),
  "batch_job.scheduled": (data: Record<string, string>) => ({
    case: "batchJobScheduled",
    value: {
      ...when("oldScheduledStartTime", data["oldScheduledStartTime"]),
      ...when("newScheduledStartTime", data["newScheduledStartTime"]),
      timezone: data["timezone"] ?? "",
      requestedStartTime: data["requestedStartTime"] ?? "",
    },
  }),
  "batch_job.started": (data: { startLagMs?: number }) => ({
    case: "batchJobStarted",
    value: lasting("startLag", data.startLagMs),
  }),
  "batch_job.paused": (data: { pauseReason?: string; resumeAt?: string }) => ({
    case: "batchJobPaused",
    value: { pauseReason: data.pauseReason ?? "", ...when("resumeAt", data.resumeAt) },
  }),
  "batch_job.resumed": (data: { status: JobStatus }) => ({
    case: "batchJobResumed",
    value: { status: protoStatuses[data.status] },
  }),
  "batch_job.completed": (data) => toEnded("completed", data),
  "batch_job.failed": (data) => toEnded("failed", data),
  "batch_job.cancelled": (data) => toEnded("cancelled", data),
  "batch_job.deleted": (data: { statusBefore: JobStatus; counts?: ContactCounts }) =>
    toEnded(data.statusBefore, data),
  "contact.attempt_ended": (data: AttemptEnded, { number }) => ({
    case: "contactAttemptEnded",
    value: {
      number: number ?? 0,
      attempt: data.attempt,
      outcome: protoOutcomes[data.outcome],
      status: protoContactStatuses[data.status],
      ...when("nextAttemptAt", data.nextAttemptAt),
      ...when("leasedAt", data.leasedAt),
      ...when("endedAt", data.endedAt),
      ...when("reportedAt", data.reportedAt),
      errorCode: data.errorCode ?? "",
      ...lasting("callDuration", data.callDurationMs),
      providerCallId: data.providerCallId ?? "",
    },
  }),
  "contact.suppressed": (data: { attempts: number }, { number }) => ({
    case: "contactSuppressed",
    value: { number: number ?? 0, attempts: data.attempts },
  }),
  "contact.erased": (_, { number }) => ({ case: "contactErased", value: { number: number ?? 0 } }),
  "phone.erased": (data: { erasedContacts: number; reason: string }) => ({
    case: "phoneErased",
    value: data,
  }),
  "suppressed_phones.added": toPhones,
  "suppressed_phones.removed": toPhones,
  "api_key.created": toKey,
  "api_key.revoked": toKey,
  "webhook_endpoint.created": toWebhook,
  "webhook_endpoint.updated": toWebhook,
  "webhook_endpoint.deleted": toWebhook,
  "webhook_endpoint.failing": toWebhook,
  "webhook_endpoint.disabled": toWebhook,
  "webhook_endpoint.events_missed": toWebhook,
};

/** An event as it is answered in JSON. */
export const eventJson = (event: LoggedEvent): object =>
  toJson(EventSchema, create(EventSchema, toEvent(event)), { alwaysEmitImplicit: true }) as object;

export function toEvent(event: LoggedEvent): MessageInitShape<typeof EventSchema> {
  const { actor, data } = event;
  const workerId = data?.["workerId"];
  return {
    sequence: BigInt(event.sequence),
    type: event.type,
    occurredAt: timestampFromDate(event.occurredAt),
    actor: {
      kind: protoActors[actor],
      apiKeyId: event.apiKeyId ?? "",
      apiKeyName: event.apiKeyName ?? "",
      workerId: actor === "worker" && typeof workerId === "string" ? workerId : "",
    },
    requestId: event.requestId,
    batchJobId: event.batchJobId ?? "",
    revision: BigInt(event.revision ?? 0),
    data: readers[event.type]((data ?? {}) as never, event),
  };
}
