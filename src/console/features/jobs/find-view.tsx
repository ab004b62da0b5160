import type { FoundContact } from "../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { service } from "../../data/service/client.ts";
import { href, route } from "../../data/page/route.ts";
import { useLoad } from "../../data/load/use-load.ts";
import { ContactBadge, JobBadge } from "../../ui/figure/badge.tsx";
import { Crumbs } from "../../ui/page/crumbs.tsx";
import { type Column, wrapping } from "../../ui/table/data-table.tsx";
import { count } from "../../ui/format/numbers.ts";
import { dateOf, dayAndTime, viewerZone } from "../../ui/format/times.ts";
import { outcomeWords } from "../../ui/format/words.ts";
import { Heading } from "../../ui/page/heading.tsx";
import { Empty } from "../../ui/page/notice.tsx";
import { PagedTable } from "../../ui/table/paged-table.tsx";
import { readTrail } from "../../ui/table/pager.tsx";
import { FindForm, findAddress } from "./find-form.tsx";

const pageSize = 50;
/** Whether a person is being called changes while one looks. */
const refreshMs = 5_000;

/** Where a person is called, or was: the contacts of all jobs that have this phone. */
export function FindView() {
  const phone = route.value.fragment;
  return (
    <>
      <Crumbs here="A person" />
      <Heading title="A person in all jobs" />
      <FindForm key={phone} phone={phone} />
      {phone === "" ? <Empty title="Give a phone number." /> : <Found phone={phone} />}
    </>
  );
}

function Found({ phone }: { phone: string }) {
  const trail = readTrail(route.value.query.get("page"));
  const asked = { phone, pageSize, pageToken: trail.at(-1) ?? "" };
  const { data, refusal, isStale } = useLoad(
    ["found", asked],
    (signal) => service.findContacts(asked, { signal }),
    () => refreshMs,
  );
  const next = data?.nextPageToken ?? "";
  return (
    <PagedTable
      caption="Where this person is, the newest job first"
      columns={columns}
      rows={data?.contacts}
      keyOf={({ contact }) => contact?.batchJobId ?? ""}
      isStale={isStale}
      refusal={refusal}
      what="the contacts"
      none={next === "" ? "No job has this phone." : "None of the jobs looked at so far has this phone."}
      pages="Pages of contacts"
      trail={trail}
      next={next}
      hrefOf={(steps) => findAddress(phone, steps)}
    />
  );
}

const columns: readonly Column<FoundContact>[] = [
  {
    title: "Job",
    look: wrapping,
    cell: ({ contact, batchJobName }) => (
      <a href={href(["jobs", contact?.batchJobId ?? ""])} dir="auto">
        {batchJobName}
      </a>
    ),
  },
  { title: "Job status", cell: ({ batchJobStatus }) => <JobBadge status={batchJobStatus} /> },
  {
    title: "Created",
    cell: ({ batchJobCreatedAt }) => dayAndTime(dateOf(batchJobCreatedAt) ?? new Date(0), viewerZone),
  },
  {
    title: "Contact",
    look: wrapping,
    cell: ({ contact }) =>
      contact && (
        <a href={href(["jobs", contact.batchJobId, "contacts", contact.number])} dir="auto">
          {contact.name || `No. ${count(contact.number)}`}
        </a>
      ),
  },
  { title: "Status", cell: ({ contact }) => contact && <ContactBadge status={contact.status} /> },
  { title: "Attempts", isNumber: true, cell: ({ contact }) => count(contact?.attempts ?? 0) },
  {
    title: "Last outcome",
    cell: ({ contact }) => outcomeWords.get(contact?.lastOutcome ?? 0) ?? <span class="quiet">–</span>,
  },
];
