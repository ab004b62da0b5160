import { useState } from "preact/hooks";
import type { WebhookEndpoint } from "../../../gen/callsheet/v1/webhook_pb.ts";
import { WebhookService } from "../../../gen/callsheet/v1/webhook_service_pb.ts";
import { href, navigate } from "../../data/page/route.ts";
import { callOf } from "../../ui/form/as-curl.tsx";
import { Dialog } from "../../ui/form/dialog.tsx";
import { Field, describedBy } from "../../ui/form/field.tsx";
import { Form } from "../../ui/form/form.tsx";
import { command, webhooks } from "./endpoints.ts";
import { Secret } from "./secret.tsx";

const { method } = WebhookService;

type Asking = "rotate" | "replay" | "delete";

/** What can be done with an endpoint, but for other settings. */
export function Acts({ endpoint }: { endpoint: WebhookEndpoint }) {
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
