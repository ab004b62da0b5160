import type { FoundContact } from "../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { service } from "../../data/service/client.ts";
import { href, navigate, route } from "../../data/page/route.ts";
import { useLoad } from "../../data/load/use-load.ts";
import { chosenCountry, isInternational, readIn, useNumbers } from "../../data/load/use-numbers.ts";
import { isAdmin } from "../../data/service/session.ts";
import { RegionField } from "../../ui/form/region-field.tsx";
import { ContactBadge, JobBadge } from "../../ui/figure/badge.tsx";
import { Crumbs } from "../../ui/page/crumbs.tsx";
import { type Column, wrapping } from "../../ui/table/data-table.tsx";
import { count } from "../../ui/format/numbers.ts";
import { dateOf, dayAndTime, viewerZone } from "../../ui/format/times.ts";
import { outcomeWords } from "../../ui/format/words.ts";
import { Heading } from "../../ui/page/heading.tsx";
import { Empty, Loading } from "../../ui/page/notice.tsx";
import { PagedTable } from "../../ui/table/paged-table.tsx";
import { readTrail } from "../../ui/table/pager.tsx";
import { ErasePerson, foundKey } from "./erase-person.tsx";
import { FindForm, type Looked, findAddress } from "./find-form.tsx";

const pageSize = 50;
/** Whether a person is being called changes while one looks. */
const refreshMs = 5_000;

/** Where a person is called, or was: the contacts of all jobs that have this phone. */
export function FindView() {
  const { fragment: phone, query } = route.value;
  const country = query.get("country") ?? "";
  return (
    <>
      <Crumbs here="A person" />
      <Heading title="A person in all jobs" />
      <FindForm key={phone} phone={phone} country={country} />
      {phone === "" && <Empty title="Give a phone number." />}
      {phone !== "" && isInternational(phone) && <Person looked={{ phone }} phone={phone} />}
      {phone !== "" && !isInternational(phone) && <National phone={phone} country={country} />}
    </>
  );
}

/** A number that does not say its country. */
function National({ phone, country }: Required<Looked>) {
  const numbers = useNumbers(true);
  if (numbers === undefined) return <Loading what="the countries" />;
  const regions = numbers.regions();
  const region = regions.find((each) => each === (country === "" ? chosenCountry.value : country)) ?? "";
  const read = readIn(numbers, phone, region);
  return (
    <>
      <RegionField
        id="country"
        regions={regions}
        region={region}
        none="Choose the country"
        onChange={(next) => {
          chosenCountry.value = next;
          navigate(findAddress({ phone, country: next }));
        }}
      />
      {read === undefined && region !== "" && (
        <Empty title="This is no whole phone number as it is dialed in that country." />
      )}
      {read !== undefined && <Person looked={{ phone, country: region }} phone={read} />}
    </>
  );
}

function Person({ looked, phone }: { looked: Looked; phone: string }) {
  return (
    <>
      <Found looked={looked} phone={phone} />
      {isAdmin() && <ErasePerson phone={phone} />}
    </>
  );
}

function Found({ looked, phone }: { looked: Looked; phone: string }) {
  const trail = readTrail(route.value.query.get("page"));
  const asked = { phone, pageSize, pageToken: trail.at(-1) ?? "" };
  const { data, refusal, isStale } = useLoad(
    [...foundKey, asked],
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
      hrefOf={(steps) => findAddress(looked, steps)}
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
