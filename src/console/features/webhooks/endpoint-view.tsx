import type { ComponentChildren } from "preact";
import type { WebhookEndpoint } from "../../../gen/callsheet/v1/webhook_pb.ts";
import { WebhookService } from "../../../gen/callsheet/v1/webhook_service_pb.ts";
import { href } from "../../data/page/route.ts";
import { useLoad } from "../../data/load/use-load.ts";
import { callOf } from "../../ui/form/as-curl.tsx";
import { Crumbs } from "../../ui/page/crumbs.tsx";
import { Fact } from "../../ui/figure/fact.tsx";
import look from "../../ui/figure/facts.module.css";
import { count, counted } from "../../ui/format/numbers.ts";
import { dateOf, exactTime, viewerZone } from "../../ui/format/times.ts";
import { Heading } from "../../ui/page/heading.tsx";
import { Empty, Loading, Notice } from "../../ui/page/notice.tsx";
import { Deliveries } from "./deliveries.tsx";
import { Acts } from "./endpoint-acts.tsx";
import { EndpointBadge } from "./endpoint-badge.tsx";
import { EndpointForm, type EndpointSettings } from "./endpoint-form.tsx";
import { command, everyMs, webhooks } from "./endpoints.ts";
import { disabledWords } from "./words.ts";

const { method } = WebhookService;

/** Where events are sent, how that goes, and what can be done about it. */
export function EndpointView({ id }: { id: string }) {
  const { data, refusal } = useLoad(
    ["webhooks", "endpoint", id],
    (signal) => webhooks.getWebhookEndpoint({ webhookEndpointId: id }, { signal }),
    everyMs,
  );
  const endpoint = data?.webhookEndpoint;
  return (
    <>
      <Crumbs top={["webhooks", "Webhooks"]} here={endpoint ? <bdi>{endpoint.url}</bdi> : "Webhook"} />
      {refusal !== undefined && (
        <>
          <Heading title="No such webhook" />
          <Empty title={refusal.message}>
            <a class="button" href={href(["webhooks"])}>
              All webhooks
            </a>
          </Empty>
        </>
      )}
      {endpoint === undefined && refusal === undefined && <Loading what="the webhook" />}
      {endpoint !== undefined && refusal === undefined && <Whole endpoint={endpoint} />}
    </>
  );
}

const Whole = ({ endpoint }: { endpoint: WebhookEndpoint }) => (
  <>
    <div class="title-bar">
      <Heading title={endpoint.description || "Webhook"}>
        <bdi>{endpoint.description || "Webhook"}</bdi>
      </Heading>
      <EndpointBadge endpoint={endpoint} />
    </div>
    {!endpoint.enabled && (
      <Notice tone="warning">
        <p>{disabledWords.get(endpoint.disabledReason)}</p>
        <p>Nothing is lost while the log is kept: turned on, it goes on where it was.</p>
      </Notice>
    )}
    <div class="halves">
      <State endpoint={endpoint} />
      <Acts endpoint={endpoint} />
    </div>
    <Deliveries id={endpoint.webhookEndpointId} />
    <Change endpoint={endpoint} />
  </>
);

const moment = (at: WebhookEndpoint["createdAt"], otherwise: string): ComponentChildren => {
  const date = dateOf(at);
  return date === undefined ? <span class="quiet">{otherwise}</span> : exactTime(date, viewerZone);
};

const State = ({ endpoint }: { endpoint: WebhookEndpoint }) => (
  <section class="card" aria-labelledby="state-title">
    <h2 id="state-title">How it goes</h2>
    <dl class={look.facts}>
      <Fact name="Where to">
        <bdi class="code">{endpoint.url}</bdi>
      </Fact>
      <Fact name="Events">{endpoint.types.length === 0 ? "all" : endpoint.types.join(", ")}</Fact>
      {endpoint.batchJobIds.length > 0 && (
        <Fact name="Jobs">
          {endpoint.batchJobIds.map((jobId) => (
            <p key={jobId}>
              <a href={href(["jobs", jobId])}>{jobId}</a>
            </p>
          ))}
        </Fact>
      )}
      <Fact name="Behind">
        {endpoint.behind === 0n ? "nothing" : counted(Number(endpoint.behind), "event")}
      </Fact>
      <Fact name="To be sent again">{count(endpoint.pendingDeliveries)}</Fact>
      <Fact name="Last arrived">{moment(endpoint.lastDeliveredAt, "never")}</Fact>
      {endpoint.failingSince !== undefined && (
        <Fact name="Nothing arrives since">{moment(endpoint.failingSince, "")}</Fact>
      )}
      {endpoint.missedEvents > 0n && (
        <Fact name="Never sent">
          {count(Number(endpoint.missedEvents))}, no longer kept when their turn came
        </Fact>
      )}
      {endpoint.oldSecretExpiresAt !== undefined && (
        <Fact name="Old secret ends">{moment(endpoint.oldSecretExpiresAt, "")}</Fact>
      )}
      {endpoint.replayToSequence > 0n && (
        <Fact name="Being sent once more">
          number {count(Number(endpoint.replayAfterSequence) + 1)} to{" "}
          {count(Number(endpoint.replayToSequence))}
        </Fact>
      )}
    </dl>
  </section>
);

function Change({ endpoint }: { endpoint: WebhookEndpoint }) {
  const { webhookEndpointId, url, description, types } = endpoint;
  const changed = (settings: EndpointSettings) => ({
    webhookEndpointId,
    settings,
    updateMask: { paths: ["url", "description", "types"] },
  });
  return (
    <section class="card" aria-labelledby="change-title">
      <h2 id="change-title">Change it</h2>
      <EndpointForm
        id="change"
        label="Change the webhook"
        submit="Save"
        given={{ url, description, types }}
        onSubmit={async (settings) => {
          await command((requestId) => webhooks.updateWebhookEndpoint({ ...changed(settings), requestId }));
          return "Saved. It holds from now on.";
        }}
        call={(settings, requestId) =>
          callOf(method.updateWebhookEndpoint, { ...changed(settings), requestId })
        }
      />
    </section>
  );
}
