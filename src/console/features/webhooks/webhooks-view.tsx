import { useState } from "preact/hooks";
import type { WebhookEndpoint } from "../../../gen/callsheet/v1/webhook_pb.ts";
import { WebhookService } from "../../../gen/callsheet/v1/webhook_service_pb.ts";
import { useLoad } from "../../data/load/use-load.ts";
import { callOf } from "../../ui/form/as-curl.tsx";
import { type Column, DataTable, stacking, wrapping } from "../../ui/table/data-table.tsx";
import { count, counted } from "../../ui/format/numbers.ts";
import { dateOf, dayAndTime, viewerZone } from "../../ui/format/times.ts";
import { Heading } from "../../ui/page/heading.tsx";
import { Empty, Loading, Notice } from "../../ui/page/notice.tsx";
import { EndpointBadge } from "./endpoint-badge.tsx";
import { EndpointForm, type EndpointSettings, nothingGiven } from "./endpoint-form.tsx";
import { command, endpointAddress, everyMs, webhooks } from "./endpoints.ts";
import { Secret } from "./secret.tsx";
import css from "./webhooks.module.css";

const columns: readonly Column<WebhookEndpoint>[] = [
  {
    title: "Where to",
    look: wrapping,
    cell: ({ webhookEndpointId, url, description }) => (
      <div class={css.lines}>
        <a href={endpointAddress(webhookEndpointId)}>
          <bdi>{url}</bdi>
        </a>
        {description !== "" && (
          <span class="quiet">
            <bdi>{description}</bdi>
          </span>
        )}
      </div>
    ),
  },
  { title: "Now", cell: (endpoint) => <EndpointBadge endpoint={endpoint} /> },
  {
    title: "Events",
    cell: ({ types }) => (types.length === 0 ? "all" : counted(types.length, "type")),
  },
  { title: "Behind", isNumber: true, cell: ({ behind }) => count(Number(behind)) },
  { title: "To be sent again", isNumber: true, cell: ({ pendingDeliveries }) => count(pendingDeliveries) },
  {
    title: "Last arrived",
    cell: ({ lastDeliveredAt }) => {
      const at = dateOf(lastDeliveredAt);
      return at === undefined ? <span class="quiet">never</span> : dayAndTime(at, viewerZone);
    },
  },
];

/** Where the organization's events are sent. */
export function WebhooksView() {
  const { data, refusal, isStale } = useLoad(
    ["webhooks", "endpoints"],
    (signal) => webhooks.listWebhookEndpoints({}, { signal }),
    everyMs,
  );
  const endpoints = data?.webhookEndpoints;
  return (
    <>
      <Heading title="Webhooks" />
      <p class="quiet">
        Whatever happens is sent to these programs, a moment after it did, and again for three days where it
        does not arrive.
      </p>
      {refusal && <Notice tone="bad">{refusal.message}</Notice>}
      {endpoints === undefined && refusal === undefined && <Loading what="the webhooks" />}
      {endpoints?.length === 0 && <Empty title="Nothing is sent anywhere." />}
      {endpoints !== undefined && endpoints.length > 0 && (
        <DataTable
          caption="Where events are sent, the oldest first"
          look={stacking}
          columns={columns}
          rows={endpoints}
          keyOf={({ webhookEndpointId }) => webhookEndpointId}
          isStale={isStale}
        />
      )}
      <NewEndpoint />
    </>
  );
}

function NewEndpoint() {
  const [made, setMade] = useState({ count: 0, secret: "" });

  async function create(settings: EndpointSettings): Promise<string> {
    const { secret } = await command((requestId) =>
      webhooks.createWebhookEndpoint({ ...settings, requestId }),
    );
    setMade((before) => ({ count: before.count + 1, secret }));
    return secret === "" ? "It was made, and its secret was lost: open it, and make a new one." : "";
  }

  return (
    <section class="card" aria-labelledby="new-endpoint-title">
      <h2 id="new-endpoint-title">Send events to another program</h2>
      {made.secret !== "" && <Secret secret={made.secret} onHide={() => setMade({ ...made, secret: "" })} />}
      <EndpointForm
        key={made.count}
        id="new"
        label="New webhook"
        submit="Send events there"
        given={nothingGiven}
        onSubmit={create}
        call={(settings, requestId) =>
          callOf(WebhookService.method.createWebhookEndpoint, { ...settings, requestId })
        }
      />
    </section>
  );
}
