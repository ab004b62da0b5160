import { useEffect, useRef, useState } from "preact/hooks";
import { service } from "../../../data/service/client.ts";
import { downloadOf } from "../../../data/service/as-curl.ts";
import { mayChange } from "../../../data/service/session.ts";
import { loaded, useLoad } from "../../../data/load/use-load.ts";
import { ContactBadge } from "../../../ui/figure/badge.tsx";
import { AsCurl } from "../../../ui/form/as-curl.tsx";
import { type Column, DataTable, within } from "../../../ui/table/data-table.tsx";
import { Empty, Loading, Notice } from "../../../ui/page/notice.tsx";
import { Pager } from "../../../ui/table/pager.tsx";
import { count } from "../../../ui/format/numbers.ts";
import { dateOf, exactTime, viewerZone } from "../../../ui/format/times.ts";
import { contactStatusWords, outcomeWords } from "../../../ui/format/words.ts";
import { href, navigate, route } from "../../../data/page/route.ts";
import type { BatchJob, Contact, ContactStatus } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { AgainDialog } from "./again-dialog.tsx";
import { contactsAddress, filePath, readContactsAddress } from "./contacts-address.ts";
import css from "./contacts.module.css";
import { Download } from "./download.tsx";

const pageSize = 50;
/** The list is asked for again while its job goes on, no more often than this. */
const refreshMs = 2_000;

/** A value that follows `value`, at most once in `refreshMs`. */
function usePaced<T>(value: T): T {
  const [paced, setPaced] = useState(value);
  const latest = useRef(value);
  latest.current = value;
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      setPaced(latest.current);
    }, refreshMs);
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return paced;
}

export function ContactsCard({ job }: { job: BatchJob }) {
  const address = readContactsAddress(job.batchJobId, route.value.query);
  const { statuses, trail } = address;
  const version = usePaced(job);
  const asked = {
    batchJobId: job.batchJobId,
    statuses: [...statuses],
    pageSize,
    pageToken: trail.at(-1) ?? "",
  };
  const key = ["contacts", asked];
  const { data, refusal, isStale } = useLoad(key, (signal) => service.listContacts(asked, { signal }));
  useEffect(() => void loaded.invalidateQueries({ queryKey: key }), [version]);
  const [isAgain, setAgain] = useState(false);
  const status = statuses.length === 1 ? statuses[0] : undefined;
  return (
    <section class="card" aria-labelledby="contacts-title" id="contacts">
      <div class="title-bar">
        <h2 id="contacts-title" tabIndex={-1}>
          Contacts
        </h2>
        <label class={css.choice}>
          Status
          <select
            value={status ?? 0}
            onChange={(event) => {
              const chosen = Number(event.currentTarget.value) as ContactStatus;
              navigate(contactsAddress({ ...address, statuses: chosen === 0 ? [] : [chosen], trail: [] }));
            }}
          >
            <option value={0}>All</option>
            {[...contactStatusWords].map(([value, word]) => (
              <option key={value} value={value}>
                {word}
              </option>
            ))}
          </select>
        </label>
        <div class="actions">
          <Download
            job={job}
            statuses={statuses}
            words={statuses.length === 0 ? "Download all" : "Download these"}
          />
          {mayChange() && (
            <button type="button" onClick={() => setAgain(true)}>
              Call these again
            </button>
          )}
        </div>
        {isAgain && <AgainDialog job={job} statuses={statuses} onClose={() => setAgain(false)} />}
      </div>
      {refusal && (
        <Notice tone="bad">
          {refusal.message} <a href={contactsAddress({ ...address, statuses: [], trail: [] })}>Show all</a>
        </Notice>
      )}
      {data === undefined && refusal === undefined && <Loading what="contacts" />}
      {data !== undefined && data.contacts.length === 0 && (
        <Empty title={nothingFound(statuses, data.nextPageToken)} />
      )}
      {data !== undefined && data.contacts.length > 0 && (
        <DataTable
          caption="Contacts by number"
          look={`${within} ${css.contacts}`}
          columns={columnsOf(job)}
          rows={data.contacts}
          keyOf={({ number }) => number}
          isStale={isStale}
        />
      )}
      <Pager
        label="Pages of contacts"
        headingId="contacts-title"
        trail={trail}
        next={data?.nextPageToken ?? ""}
        hrefOf={(steps) => contactsAddress({ ...address, trail: steps })}
      />
      <AsCurl
        title="The download as curl"
        call={() => ({ command: downloadOf(filePath(job.batchJobId, statuses, true), "results.csv") })}
      />
    </section>
  );
}

/** A search through a large job comes to its end in several pages. */
function nothingFound(statuses: readonly ContactStatus[], next: string): string {
  if (statuses.length === 0) return "This job has no contacts yet.";
  return next === ""
    ? "No contact has this status."
    : "None of the contacts looked at so far has this status.";
}

const columnsOf = ({ maxAttempts }: BatchJob): readonly Column<Contact>[] => [
  { title: "No.", look: css.number, isNumber: true, cell: ({ number }) => count(number) },
  {
    title: "Phone",
    cell: ({ batchJobId, number, phone }) => (
      <a class="phone" href={href(["jobs", batchJobId, "contacts", number])}>
        {phone}
      </a>
    ),
  },
  { title: "Name", look: css.name, cell: ({ name }) => <bdi>{name}</bdi> },
  { title: "Status", look: css.status, cell: ({ status }) => <ContactBadge status={status} /> },
  {
    title: "Attempts",
    look: css.attempts,
    isNumber: true,
    cell: ({ attempts }) => (
      <>
        {attempts} <span class="quiet">/ {maxAttempts}</span>
      </>
    ),
  },
  {
    title: "Last outcome",
    look: css.outcome,
    cell: (contact) => (
      <>
        {outcomeWords.get(contact.lastOutcome) ?? <span class="quiet">–</span>}
        <NextAttempt contact={contact} />
      </>
    ),
  },
];

function NextAttempt({ contact }: { contact: Contact }) {
  const at = dateOf(contact.nextAttemptAt);
  if (at === undefined) return null;
  return <span class={css.next}>again {exactTime(at, viewerZone)}</span>;
}
