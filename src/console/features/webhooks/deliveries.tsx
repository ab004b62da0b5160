import { type WebhookDelivery, WebhookDeliveryStatus } from "../../../gen/callsheet/v1/webhook_pb.ts";
import { route } from "../../data/page/route.ts";
import { useLoad } from "../../data/load/use-load.ts";
import { Badge } from "../../ui/figure/badge.tsx";
import { type Column, wrapping } from "../../ui/table/data-table.tsx";
import { count } from "../../ui/format/numbers.ts";
import { dateOf, duration, exactTime, viewerZone } from "../../ui/format/times.ts";
import { PagedTable } from "../../ui/table/paged-table.tsx";
import { readTrail } from "../../ui/table/pager.tsx";
import { endpointAddress, everyMs, webhooks } from "./endpoints.ts";
import css from "./webhooks.module.css";
import { failureWords } from "./words.ts";

const pageSize = 50;

const badges: ReadonlyMap<WebhookDeliveryStatus, { tone: string; word: string }> = new Map([
  [WebhookDeliveryStatus.PENDING, { tone: "held", word: "Waits" }],
  [WebhookDeliveryStatus.DELIVERED, { tone: "good", word: "Arrived" }],
  [WebhookDeliveryStatus.FAILED, { tone: "bad", word: "Given up" }],
]);

/** "12", "12 to 61". */
const numbersOf = ({ firstSequence, lastSequence }: WebhookDelivery): string =>
  firstSequence === lastSequence
    ? count(Number(firstSequence))
    : `${count(Number(firstSequence))} to ${count(Number(lastSequence))}`;

const columns: readonly Column<WebhookDelivery>[] = [
  {
    title: "What",
    look: wrapping,
    cell: (delivery) => (
      <div class={css.lines}>
        <span>{delivery.type}</span>
        {delivery.firstSequence > 0n && <span class="quiet">number {numbersOf(delivery)}</span>}
      </div>
    ),
  },
  {
    title: "Status",
    cell: ({ status }) => (
      <Badge of="delivery" {...(badges.get(status) ?? { tone: "quiet", word: "Unknown" })} />
    ),
  },
  { title: "Attempts", isNumber: true, cell: ({ attempts }) => count(attempts) },
  { title: "What came of the last one", cell: (delivery) => <LastAttempt delivery={delivery} /> },
  {
    title: "Next attempt",
    cell: ({ nextAttemptAt }) => {
      const at = dateOf(nextAttemptAt);
      return at === undefined ? <span class="quiet">none</span> : exactTime(at, viewerZone);
    },
  },
];

function LastAttempt({ delivery }: { delivery: WebhookDelivery }) {
  const at = dateOf(delivery.attemptedAt);
  if (at === undefined) return <span class="quiet">not sent yet</span>;
  const status = delivery.httpStatus === 0 ? [] : [String(delivery.httpStatus)];
  const failure = delivery.failure === "" ? [] : [failureWords(delivery.failure)];
  return (
    <div class={css.lines}>
      <span>{[...status, ...failure, duration(delivery.durationMs)].join(", ")}</span>
      <span class="quiet">{exactTime(at, viewerZone)}</span>
      {delivery.answer !== "" && (
        <details>
          <summary>What it answered</summary>
          <p class={`code ${css.answer}`} dir="auto">
            {delivery.answer}
          </p>
        </details>
      )}
    </div>
  );
}

/** What did not arrive at once, what was sent once more, and tests. */
export function Deliveries({ id }: { id: string }) {
  const trail = readTrail(route.value.query.get("page"));
  const asked = { webhookEndpointId: id, pageSize, pageToken: trail.at(-1) ?? "" };
  const { data, refusal, isStale } = useLoad(
    ["webhooks", "deliveries", asked],
    (signal) => webhooks.listWebhookDeliveries(asked, { signal }),
    everyMs,
  );
  return (
    <section class="stack" aria-labelledby="deliveries-title">
      <h2 id="deliveries-title" tabIndex={-1}>
        Deliveries
      </h2>
      <p class="quiet">
        What arrived at the first attempt is not listed. What has ended is shown for three days.
      </p>
      <PagedTable
        caption="Deliveries, the newest first"
        columns={columns}
        rows={data?.webhookDeliveries}
        keyOf={({ webhookId }) => webhookId}
        isStale={isStale}
        refusal={refusal}
        what="the deliveries"
        none="Everything arrived at the first attempt."
        pages="Pages of deliveries"
        trail={trail}
        next={data?.nextPageToken ?? ""}
        hrefOf={(steps) => endpointAddress(id, steps)}
      />
    </section>
  );
}
