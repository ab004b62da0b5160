import { service } from "../../../data/service/client.ts";
import { useLoad } from "../../../data/load/use-load.ts";
import { ContactBadge } from "../../../ui/figure/badge.tsx";
import { Crumbs } from "../../../ui/page/crumbs.tsx";
import { Heading } from "../../../ui/page/heading.tsx";
import { Empty, Loading } from "../../../ui/page/notice.tsx";
import { counted } from "../../../ui/format/numbers.ts";
import { dateOf, exactTime, viewerZone } from "../../../ui/format/times.ts";
import { href } from "../../../data/page/route.ts";
import { type Contact, ContactStatus } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import factsLook from "../../../ui/figure/facts.module.css";
import css from "../job.module.css";
import { Timeline } from "./timeline.tsx";

/** While the contact is not final it is asked for again and again. */
const refreshMs = 2_000;

const openStatuses: ReadonlySet<ContactStatus> = new Set([
  ContactStatus.PENDING,
  ContactStatus.DIALING,
  ContactStatus.WAITING_RETRY,
]);

export function ContactView({ id, number }: { id: string; number: number }) {
  const { data, refusal } = useLoad(
    ["contact", id, number],
    (signal) => service.getContact({ batchJobId: id, number }, { signal }),
    (answer) => (answer?.contact && openStatuses.has(answer.contact.status) ? refreshMs : undefined),
  );
  const contact = data?.contact;

  return (
    <>
      <Crumbs here={`Contact ${number}`}>
        <a href={href(["jobs", id, "contacts"])}>Job</a>
      </Crumbs>
      <div class={css.jobTitle}>
        <Heading title={`Contact ${number}`}>
          <span dir="auto">{contact?.name || `Contact ${number}`}</span>
        </Heading>
        {contact && <ContactBadge status={contact.status} />}
      </div>
      {refusal && (
        <Empty title={refusal.message}>
          <a class="button" href={href(["jobs", id])}>
            Back to the job
          </a>
        </Empty>
      )}
      {contact === undefined && refusal === undefined && <Loading what="the contact" />}
      {contact && (
        <div class={css.columns}>
          <section class="card" aria-labelledby="attempts-title">
            <h2 id="attempts-title">{counted(data?.attempts.length ?? 0, "attempt")}</h2>
            <Timeline attempts={data?.attempts ?? []} />
            <WhatNext contact={contact} />
          </section>
          <Details contact={contact} />
        </div>
      )}
    </>
  );
}

/** Why there are no attempts, or no more. */
const whyNoMore: ReadonlyMap<ContactStatus, string> = new Map([
  [ContactStatus.PENDING, "Nobody has called this contact yet."],
  [ContactStatus.SUPPRESSED, "Their number is on the never-call list: nobody calls it."],
  [ContactStatus.EXPIRED, "The job ended before anybody was reached."],
  [ContactStatus.CANCELLED, "The job was cancelled before anybody was reached."],
]);

function WhatNext({ contact }: { contact: Contact }) {
  const at = dateOf(contact.nextAttemptAt);
  if (at !== undefined)
    return <p class="quiet">The next attempt is at {exactTime(at, viewerZone)}, your time.</p>;
  const said = whyNoMore.get(contact.status);
  return said === undefined ? null : <p class="quiet">{said}</p>;
}

const Details = ({ contact }: { contact: Contact }) => (
  <section class="card" aria-labelledby="details-title">
    <h2 id="details-title">Details</h2>
    <dl class={factsLook.facts}>
      <div>
        <dt>Phone</dt>
        <dd class="phone">{contact.phone}</dd>
      </div>
      <div>
        <dt>Number in the job</dt>
        <dd>{contact.number}</dd>
      </div>
      {contact.timezone !== "" && (
        <div>
          <dt>Time zone</dt>
          <dd>{contact.timezone}</dd>
        </div>
      )}
      {Object.entries(contact.fields).map(([key, value]) => (
        <div key={key}>
          <dt dir="auto">{key}</dt>
          <dd dir="auto">{value}</dd>
        </div>
      ))}
    </dl>
  </section>
);
