import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { wrongField } from "../../domain/batch-job-error.ts";
import {
  type UpdateWebhookEndpointRequest,
  type WebhookEndpointSettings,
  WebhookEndpointSettingsSchema,
  type WebhookService,
} from "../../gen/callsheet/v1/webhook_service_pb.ts";
import type { WantedChanges, Webhooks } from "../../webhooks/endpoints.ts";
import { toCommand } from "../commands.ts";
import { callerOf } from "../gate/gate.ts";
import { changedIn, isGiven } from "../convert/update-mask.ts";
import { toDelivery, toEndpoint } from "../convert/webhooks.ts";

type Settings = WebhookEndpointSettings;
type Name = Exclude<keyof Settings, `$${string}`>;

const required = (name: string): never => {
  throw wrongField(`settings.${name}`, "it must be set where update_mask names it");
};

/** What a setting is changed to; one that need not be there goes back to none. */
const readers: Record<Name, (settings: Settings) => WantedChanges> = {
  url: ({ url }) => ({ url: url ?? required("url") }),
  types: ({ types }) => ({ types }),
  batchJobIds: ({ batchJobIds }) => ({ batchJobIds }),
  description: ({ description = "" }) => ({ description }),
  enabled: ({ enabled }) => ({ enabled: enabled ?? required("enabled") }),
};

const names = Object.keys(readers) as Name[];
const nameByPath = new Map(
  names.map((name) => [WebhookEndpointSettingsSchema.field[name].name, name] as const),
);

/** The settings that a request changes. */
function readChanges(request: UpdateWebhookEndpointRequest): WantedChanges {
  const { settings = create(WebhookEndpointSettingsSchema) } = request;
  const changed = changedIn(request.updateMask, nameByPath, (name) => isGiven(settings[name]));
  return Object.assign({}, ...changed.map((name) => readers[name](settings))) as WantedChanges;
}

/** Converts, calls, converts: what each RPC does is in src/webhooks. */
export function webhookService(webhooks: Webhooks): ServiceImpl<typeof WebhookService> {
  return {
    async createWebhookEndpoint(request, context) {
      const { endpoint, secret } = await webhooks.create(toCommand(request, context), request);
      return { webhookEndpoint: toEndpoint(endpoint), secret };
    },

    async getWebhookEndpoint(request, context) {
      const endpoint = await webhooks.get(callerOf(context), request.webhookEndpointId);
      return { webhookEndpoint: toEndpoint(endpoint) };
    },

    async listWebhookEndpoints(_request, context) {
      const endpoints = await webhooks.list(callerOf(context));
      return { webhookEndpoints: endpoints.map(toEndpoint) };
    },

    async updateWebhookEndpoint(request, context) {
      const command = toCommand(request, context);
      const endpoint = await webhooks.update(command, request.webhookEndpointId, readChanges(request));
      return { webhookEndpoint: toEndpoint(endpoint) };
    },

    async deleteWebhookEndpoint(request, context) {
      await webhooks.delete(toCommand(request, context), request.webhookEndpointId);
      return {};
    },

    async rotateWebhookSecret(request, context) {
      const command = toCommand(request, context);
      const { endpoint, secret } = await webhooks.rotateSecret(command, request.webhookEndpointId);
      return { webhookEndpoint: toEndpoint(endpoint), secret };
    },

    async sendTestEvent(request, context) {
      return { webhookId: await webhooks.sendTest(toCommand(request, context), request.webhookEndpointId) };
    },

    async listWebhookDeliveries(request, context) {
      const page = { size: request.pageSize, token: request.pageToken };
      const found = await webhooks.listDeliveries(callerOf(context), request.webhookEndpointId, page);
      return { webhookDeliveries: found.deliveries.map(toDelivery), nextPageToken: found.nextPageToken };
    },

    async replayEvents(request, context) {
      const part = { from: Number(request.fromSequence), to: Number(request.toSequence) };
      const endpoint = await webhooks.replay(toCommand(request, context), request.webhookEndpointId, part);
      return { webhookEndpoint: toEndpoint(endpoint) };
    },
  };
}
