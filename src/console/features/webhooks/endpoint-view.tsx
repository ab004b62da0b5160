import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { WebhookEndpoint } from "../../../gen/callsheet/v1/webhook_pb.ts";
import { WebhookService } from "../../../gen/callsheet/v1/webhook_service_pb.ts";
import { href, navigate } from "../../data/page/route.ts";
import { useLoad } from "../../data/load/use-load.ts";
import { callOf } from "../../ui/form/as-curl.tsx";
import { Crumbs } from "../../ui/page/crumbs.tsx";
import { Dialog } from "../../ui/form/dialog.tsx";
import { Fact } from "../../ui/figure/fact.tsx";
import look from "../../ui/figure/facts.module.css";
import { Field, describedBy } from "../../ui/form/field.tsx";
import { Form } from "../../ui/form/form.tsx";
import { count, counted } from "../../ui/format/numbers.ts";
import { dateOf, exactTime, viewerZone } from "../../ui/format/times.ts";
import { Heading } from "../../ui/page/heading.tsx";
import { Empty, Loading, Notice } from "../../ui/page/notice.tsx";
import { Deliveries } from "./deliveries.tsx";
import { EndpointBadge } from "./endpoint-badge.tsx";
import { EndpointForm, type EndpointSettings } from "./endpoint-form.tsx";
import { command, everyMs, webhooks } from "./endpoints.ts";
import { Secret } from "./secret.tsx";
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

type Asking = "rotate" | "replay" | "delete";

function Acts({ endpoint }: { endpoint: WebhookEndpoint }) {
  const [asking, setAsking] = useState<Asking>();
  const [secret, setSecret] = useState("");
  const { webhookEndpointId, enabled } = endpoint;
  const switched = { webhookEndpointId, settings: { enabled: !enabled } };
  const close = () => setAsking(undefined);
  return (
    <section class="card" aria-labelledby="acts-title">
      <h2 id="acts-title">What you can do</h2>
      {secret !== "" && <Secret secret={secret} onHide={() => setSecret("")} />}
      <Form
        label="Send a test"
        submit="Send a test event"
        call={(requestId) => callOf(method.sendTestEvent, { webhookEndpointId, requestId })}
        onSubmit={async () => {
          await command((requestId) => webhooks.sendTestEvent({ webhookEndpointId, requestId }));
          return "It is being sent. What comes of it is among the deliveries.";
        }}
      />
      <Form
        label={enabled ? "Turn off" : "Turn on"}
        submit={enabled ? "Turn off" : "Turn on"}
        onSubmit={async () => {
          await command((requestId) => webhooks.updateWebhookEndpoint({ ...switched, requestId }));
          return enabled
            ? "Nothing is sent any more. Its place in the log is kept."
            : "It goes on where it was.";
        }}
        call={(requestId) => callOf(method.updateWebhookEndpoint, { ...switched, requestId })}
      />
      <div class="actions">
        <button type="button" onClick={() => setAsking("replay")}>
          Send events once more
        </button>
        <button type="button" onClick={() => setAsking("rotate")}>
          Make a new secret
        </button>
        <button type="button" class="danger" onClick={() => setAsking("delete")}>
          Delete
        </button>
      </div>
      {asking === "replay" && <Replay endpoint={endpoint} onClose={close} />}
      {asking === "rotate" && <Rotate id={webhookEndpointId} onSecret={setSecret} onClose={close} />}
      {asking === "delete" && <Delete endpoint={endpoint} onClose={close} />}
    </section>
  );
}

const isNumber = (text: string): boolean => /^\d{1,15}$/.test(text.trim());

function Replay({ endpoint, onClose }: { endpoint: WebhookEndpoint; onClose: () => void }) {
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  const isRight = isNumber(from) && Number(from) > 0 && (to.trim() === "" || isNumber(to));
  const requestOf = (requestId: string) => ({
    webhookEndpointId: endpoint.webhookEndpointId,
    requestId,
    fromSequence: BigInt(from.trim()),
    toSequence: BigInt(to.trim() || 0),
  });
  return (
    <Dialog title="Send events once more?" onClose={onClose}>
      <p>
        By their numbers in the log. They are sent beside those that come, and have the same numbers as
        before.
      </p>
      <Form
        label="Send events once more"
        submit="Send them"
        problem={isRight ? "" : "Give the number of the first event, such as 1."}
        onSubmit={async () => {
          await command((requestId) => webhooks.replayEvents(requestOf(requestId)));
          onClose();
          return "";
        }}
        call={(requestId) => callOf(method.replayEvents, requestOf(requestId))}
        beside={
          <button type="button" onClick={onClose}>
            Send nothing
          </button>
        }
      >
        <div class="when">
          <Field id="replay-from" label="From number">
            <input
              id="replay-from"
              inputMode="numeric"
              value={from}
              onInput={(event) => setFrom(event.currentTarget.value)}
            />
          </Field>
          <Field id="replay-to" label="To number" hint="Empty for the end of the log.">
            <input
              {...describedBy("replay-to", undefined)}
              inputMode="numeric"
              value={to}
              onInput={(event) => setTo(event.currentTarget.value)}
            />
          </Field>
        </div>
      </Form>
    </Dialog>
  );
}

const Rotate = (props: { id: string; onSecret: (secret: string) => void; onClose: () => void }) => (
  <Dialog title="Make a new secret?" onClose={props.onClose}>
    <p>For 24 hours what is sent is signed with both, so that its receiver can be given the new one.</p>
    <Form
      label="Make a new secret"
      submit="Make a new secret"
      onSubmit={async () => {
        const { secret } = await command((requestId) =>
          webhooks.rotateWebhookSecret({ webhookEndpointId: props.id, requestId }),
        );
        if (secret === "") return "It was made, and lost on the way: make another.";
        props.onSecret(secret);
        props.onClose();
        return "";
      }}
      call={(requestId) => callOf(method.rotateWebhookSecret, { webhookEndpointId: props.id, requestId })}
      beside={
        <button type="button" onClick={props.onClose}>
          Keep the secret
        </button>
      }
    />
  </Dialog>
);

function Delete({ endpoint, onClose }: { endpoint: WebhookEndpoint; onClose: () => void }) {
  const { webhookEndpointId, url } = endpoint;
  return (
    <Dialog title="Delete this webhook?" onClose={onClose}>
      <p>
        <bdi class="code">{url}</bdi>
      </p>
      <p>Nothing is sent there any more, and its place in the log and its deliveries are forgotten.</p>
      <Form
        label="Delete the webhook"
        submit="Delete the webhook"
        look="danger"
        onSubmit={async () => {
          await command((requestId) => webhooks.deleteWebhookEndpoint({ webhookEndpointId, requestId }));
          navigate(href(["webhooks"]));
          return "";
        }}
        call={(requestId) => callOf(method.deleteWebhookEndpoint, { webhookEndpointId, requestId })}
        beside={
          <button type="button" onClick={onClose}>
            Keep it
          </button>
        }
      />
    </Dialog>
  );
}

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
