import { randomUUID } from "node:crypto";
import { lockForAdmin } from "../access/access.ts";
import { fitting } from "../domain/answer-size.ts";
import { BatchJobError, wrongField } from "../domain/batch-job-error.ts";
import type { Caller } from "../domain/caller.ts";
import { type EventType, type Tell, readEventType } from "../domain/event.ts";
import { isUuid } from "../domain/jobs/job-id.ts";
import { isTimeMs, readPageToken, writePageToken } from "../domain/page-token.ts";
import { type WebhookDelivery, type WebhookEndpoint, testType } from "../domain/webhook.ts";
import { cursorExpired } from "../events/event-log.ts";
import { type CommandRequest, byOf, createCommandRunner } from "../jobs/commands/command.ts";
import { pageSizeOf } from "../domain/page-size.ts";
import type { Trx } from "../postgres/jobs/batch-jobs.ts";
import type { Shares } from "../postgres/connections/connections.ts";
import { noHead, readHeads } from "../postgres/events/events.ts";
import { type DeliveryCursor, insertTest, listDeliveries } from "../postgres/events/webhook-deliveries.ts";
import {
  type EndpointChanges,
  type EndpointKey,
  type NewEndpoint,
  deleteEndpoint,
  findEndpoint,
  insertEndpoint,
  listEndpoints,
  lockEndpoint,
  replaceSecret,
  startReplay,
  updateEndpoint,
} from "../postgres/events/webhook-endpoints.ts";
import { type ConnectPolicy, readEndpointUrl } from "./endpoint-url.ts";
import { createSecret } from "./signing.ts";

export type { EndpointChanges, WebhookDelivery, WebhookEndpoint };

const mostEndpoints = 20;

/** What an endpoint asks for, as it is given. */
export type Wanted = {
  readonly url: string;
  readonly types: readonly string[];
  readonly batchJobIds: readonly string[];
  readonly description: string;
};

/** New settings as they are given, of those that change. */
export type WantedChanges = Partial<Wanted> & { readonly enabled?: boolean };

function readJobId(id: string, i: number): string {
  if (isUuid(id)) return id.toLowerCase();
  throw wrongField(`batch_job_ids[${i}]`, "it must be the id of a batch job");
}

const readJobIds = (ids: readonly string[]): string[] => [...new Set(ids.map(readJobId))];

const readTypes = (types: readonly string[]): EventType[] => [
  ...new Set(types.map((type, i) => readEventType(type, `types[${i}]`))),
];

const notFound = (id: string) =>
  new BatchJobError(
    "webhook_endpoint_not_found",
    "There is no such webhook endpoint in this organization; ListWebhookEndpoints shows their ids.",
    { webhookEndpointId: id.slice(0, 64) },
  );

/** The names of the settings, as requests and events have them. */
const fields: Record<keyof EndpointChanges, string> = {
  url: "url",
  types: "types",
  batchJobIds: "batch_job_ids",
  description: "description",
  enabled: "enabled",
};

const settingNames = Object.keys(fields) as (keyof EndpointChanges)[];

/** Those of the changes that change something. */
function differing(before: WebhookEndpoint, changes: EndpointChanges): EndpointChanges {
  const current = { ...before, enabled: before.disabledReason === null };
  return Object.fromEntries(
    Object.entries(changes).filter(
      ([name, value]) => JSON.stringify(current[name as keyof EndpointChanges]) !== JSON.stringify(value),
    ),
  );
}

/** What is kept of an answer is JSON, in which a time is a text. */
type Kept<T> = { [P in keyof T]: T[P] extends Date | null ? Exclude<T[P], Date> | string | Date : T[P] };

const dateOf = (kept: Date | string | null): Date | null => (kept === null ? null : new Date(kept));

const endpointIn = (kept: Kept<WebhookEndpoint>): WebhookEndpoint => ({
  ...kept,
  createdAt: new Date(kept.createdAt),
  updatedAt: new Date(kept.updatedAt),
  failingSince: dateOf(kept.failingSince),
  lastDeliveredAt: dateOf(kept.lastDeliveredAt),
  oldSecretExpiresAt: dateOf(kept.oldSecretExpiresAt),
});

const isDeliveryCursor = (keys: readonly unknown[]): keys is [number, string] =>
  isTimeMs(keys[0]) && typeof keys[1] === "string";

const bytesOf = ({ type, answer, failure }: WebhookDelivery): number =>
  200 + type.length + Buffer.byteLength(answer ?? "") + (failure ?? "").length;

const redisHalf = () => ({});

function keyOf({ organizationId }: Caller, id: string): EndpointKey {
  if (!isUuid(id)) throw notFound(id);
  return { organizationId, id };
}

async function lockFor(trx: Trx, caller: Caller, id: string): Promise<[EndpointKey, WebhookEndpoint]> {
  await lockForAdmin(trx, caller);
  const key = keyOf(caller, id);
  const found = await lockEndpoint(trx, key);
  if (found === undefined) throw notFound(id);
  return [key, found];
}

const tellUpdated = (request: CommandRequest, tell: Tell, id: string, changedFields: readonly string[]) =>
  tell({
    type: "webhook_endpoint.updated",
    ...byOf(request),
    data: { webhookEndpointId: id, changedFields },
  });

/**
 * Where organizations have their events sent. What changes an endpoint locks the organization first: so they are
 * counted exactly, and a key that another replica has revoked already changes none.
 */
export function createWebhooks(deps: {
  shares: Shares;
  reads: Shares;
  policy: ConnectPolicy;
  now: () => number;
}) {
  const { shares, reads, policy, now } = deps;
  // Nothing of it is in Redis.
  const run = createCommandRunner({ shares, doRedisHalves: () => [] });

  const readUrl = (url: string): string => readEndpointUrl(url, policy);

  const readChanges = ({ url, types, batchJobIds, ...others }: WantedChanges): EndpointChanges => ({
    ...others,
    ...(url === undefined ? {} : { url: readUrl(url) }),
    ...(types === undefined ? {} : { types: readTypes(types) }),
    ...(batchJobIds === undefined ? {} : { batchJobIds: readJobIds(batchJobIds) }),
  });

  async function find(caller: Caller, id: string): Promise<WebhookEndpoint> {
    const found = await findEndpoint(reads.of(caller.organizationId), keyOf(caller, id));
    if (found === undefined) throw notFound(id);
    return found;
  }

  /** A command on one endpoint, which is locked. */
  async function change(
    request: CommandRequest,
    rpc: string,
    id: string,
    decide: (trx: Trx, key: EndpointKey, before: WebhookEndpoint, tell: Tell) => Promise<WebhookEndpoint>,
  ): Promise<WebhookEndpoint> {
    const made = await run<Kept<WebhookEndpoint>>(request, {
      rpc,
      redisHalf,
      async decide(trx, tell) {
        const [key, before] = await lockFor(trx, request.caller, id);
        return await decide(trx, key, before, tell);
      },
    });
    return endpointIn(made);
  }

  return {
    /** The secret is empty in the answer to a repetition: no answer that is kept has it. */
    async create(
      request: CommandRequest,
      wanted: Wanted,
    ): Promise<{ endpoint: WebhookEndpoint; secret: string }> {
      const { organizationId } = request.caller;
      const asked: Omit<NewEndpoint, "secret"> = {
        description: wanted.description,
        url: readUrl(wanted.url),
        types: readTypes(wanted.types),
        batchJobIds: readJobIds(wanted.batchJobIds),
      };
      let secret = "";
      const made = await run<Kept<WebhookEndpoint>>(request, {
        rpc: "CreateWebhookEndpoint",
        redisHalf,
        async decide(trx, tell) {
          await lockForAdmin(trx, request.caller);
          if ((await listEndpoints(trx, organizationId)).length >= mostEndpoints) {
            throw new BatchJobError(
              "limit_exceeded",
              `The organization has ${mostEndpoints} webhook endpoints, which is as many as it may have; delete one that is no longer used.`,
              { limit: String(mostEndpoints) },
            );
          }
          const fresh = createSecret();
          const endpoint = await insertEndpoint(trx, organizationId, { ...asked, secret: fresh });
          tell({
            type: "webhook_endpoint.created",
            ...byOf(request),
            data: { webhookEndpointId: endpoint.id },
          });
          secret = fresh;
          return endpoint;
        },
      });
      return { endpoint: endpointIn(made), secret };
    },

    get: find,

    async list({ organizationId }: Caller): Promise<WebhookEndpoint[]> {
      return await listEndpoints(reads.of(organizationId), organizationId);
    },

    async update(request: CommandRequest, id: string, wanted: WantedChanges): Promise<WebhookEndpoint> {
      const asked = readChanges(wanted);
      return await change(request, "UpdateWebhookEndpoint", id, async (trx, key, before, tell) => {
        const changes = differing(before, asked);
        const names = settingNames.filter((name) => name in changes);
        if (names.length === 0) return before;
        tellUpdated(
          request,
          tell,
          before.id,
          names.map((name) => fields[name]),
        );
        return await updateEndpoint(trx, key, changes);
      });
    },

    async delete(request: CommandRequest, id: string): Promise<void> {
      await run(request, {
        rpc: "DeleteWebhookEndpoint",
        redisHalf,
        async decide(trx, tell) {
          const [key] = await lockFor(trx, request.caller, id);
          await deleteEndpoint(trx, key);
          tell({ type: "webhook_endpoint.deleted", ...byOf(request), data: { webhookEndpointId: key.id } });
          return {};
        },
      });
    },

    async rotateSecret(
      request: CommandRequest,
      id: string,
    ): Promise<{ endpoint: WebhookEndpoint; secret: string }> {
      let secret = "";
      const endpoint = await change(request, "RotateWebhookSecret", id, async (trx, key, before, tell) => {
        const fresh = createSecret();
        tellUpdated(request, tell, before.id, ["secret"]);
        const rotated = await replaceSecret(trx, key, fresh);
        secret = fresh;
        return rotated;
      });
      return { endpoint, secret };
    },

    /** Answers the id that it is sent under. */
    async sendTest(request: CommandRequest, id: string): Promise<string> {
      const sent = await run(request, {
        rpc: "SendTestEvent",
        redisHalf,
        async decide(trx) {
          const [key] = await lockFor(trx, request.caller, id);
          const webhookId = `msg_${randomUUID()}`;
          const timestamp = new Date(now()).toISOString();
          const body = JSON.stringify({ type: testType, timestamp, data: { webhookEndpointId: key.id } });
          await insertTest(trx, key, { id: webhookId, body });
          return { webhookId };
        },
      });
      return sent.webhookId;
    },

    async listDeliveries(
      caller: Caller,
      id: string,
      page: { size: number; token: string },
    ): Promise<{ deliveries: WebhookDelivery[]; nextPageToken: string }> {
      const endpoint = await find(caller, id);
      const scope = ["webhook deliveries", caller.organizationId, endpoint.id];
      const cursor = readPageToken(page.token, scope, isDeliveryCursor);
      const after: DeliveryCursor | undefined = cursor && {
        createdAt: new Date(cursor[0]).toISOString(),
        id: cursor[1],
      };
      const size = pageSizeOf(page.size);
      const key = keyOf(caller, endpoint.id);
      const found = await listDeliveries(reads.of(caller.organizationId), key, { after, size: size + 1 });
      const deliveries = fitting(found.slice(0, size), bytesOf);
      const last = found.length > deliveries.length ? deliveries.at(-1) : undefined;
      return {
        deliveries,
        nextPageToken: last === undefined ? "" : writePageToken(scope, [last.createdAt.getTime(), last.id]),
      };
    },

    async replay(
      request: CommandRequest,
      id: string,
      part: { from: number; to: number },
    ): Promise<WebhookEndpoint> {
      return await change(request, "ReplayEvents", id, async (trx, key, _, tell) => {
        const { organizationId } = key;
        const head = (await readHeads(trx, [organizationId])).get(organizationId) ?? noHead;
        if (part.from > head.sequence || part.to > head.sequence) {
          const field = part.from > head.sequence ? "from_sequence" : "to_sequence";
          throw wrongField(field, `the log ends at ${head.sequence}; give a number up to that`);
        }
        const to = part.to === 0 ? head.sequence : part.to;
        if (to < part.from) throw wrongField("to_sequence", "it must not be below from_sequence");
        if (part.from < head.firstSequence) throw cursorExpired(head);
        tellUpdated(request, tell, key.id, ["replay"]);
        return await startReplay(trx, key, { after: part.from - 1, to });
      });
    },
  };
}

export type Webhooks = ReturnType<typeof createWebhooks>;
