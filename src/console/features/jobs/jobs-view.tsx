import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { flash } from "../../data/page/flash.ts";
import { href, route } from "../../data/page/route.ts";
import { mayChange } from "../../data/service/session.ts";
import { DataTable } from "../../ui/table/data-table.tsx";
import { Heading } from "../../ui/page/heading.tsx";
import { Empty, Loading, Notice } from "../../ui/page/notice.tsx";
import { Pager } from "../../ui/table/pager.tsx";
import { type Label, type ListAddress, addressOf, firstPage, isFiltered, readAddress } from "./address.ts";
import { Counters } from "./counters.tsx";
import { type Counts, useCounts } from "./counts.ts";
import { Filters, labelWords } from "./filters.tsx";
import { FindForm } from "./find-form.tsx";
import { jobColumns, pickColumn } from "./job-columns.tsx";
import css from "./jobs.module.css";
import { type LivePage, useLivePage } from "./live-page.ts";
import { SelectionBar } from "./selection-bar.tsx";
import { type Selection, nothing } from "./selection.ts";

export function JobsView() {
  const address = readAddress(route.value.query);
  const { page, refusal, isStale, onSeen } = useLivePage(address);
  const counts = useCounts(address);
  return (
    <>
      <div class="title-bar">
        <Heading title="Jobs" />
        <FindForm phone="" />
        {mayChange() && (
          <a class="button primary" href={href(["jobs", "new"])}>
            New job
          </a>
        )}
      </div>
      {flash.value !== undefined && <Notice tone={flash.value.tone}>{flash.value.sentence}</Notice>}
      <Counters address={address} counts={counts} />
      <Filters address={address} known={labelsOn(page)} />
      {refusal && (
        <Notice tone="bad">
          {refusal.message} <a href={href(["jobs"])}>Show all jobs</a>
        </Notice>
      )}
      {page === undefined && refusal === undefined && <Loading what="jobs" />}
      {page !== undefined && refusal === undefined && (
        <Table {...{ page, address, counts, isStale, onSeen }} />
      )}
    </>
  );
}

/** So many rows are all drawn: the page is as high as they are. */
const few = 100;

/** Each label that a job of the page has, once. */
function labelsOn(page: LivePage | undefined): Label[] {
  const all = page?.rows.flatMap(({ job }) => Object.entries(job.peek().labels)) ?? [];
  return [...new Map(all.map((label) => [labelWords(label), label])).values()];
}

function Table(props: {
  page: LivePage;
  address: ListAddress;
  counts: Counts;
  isStale: boolean;
  onSeen: (id: string, isSeen: boolean) => void;
}) {
  const { page, address, counts, isStale } = props;
  const selected = useSignal<Selection>(nothing);
  const list = addressOf({ ...firstPage(address), pageSize: 0 });
  // Who looks at other jobs no longer sees what was selected.
  useEffect(() => void (selected.value = nothing), [list]);
  const seen = page.rows.map(({ id }) => id);
  const columns = useMemo(
    () => [...(mayChange() ? [pickColumn(selected, seen)] : []), ...jobColumns(address)],
    [addressOf(address), seen.join()],
  );
  const isEmpty = page.rows.length === 0 && !isStale;
  return (
    <>
      {mayChange() && <SelectionBar {...{ selected, seen, address, counts }} />}
      {isEmpty ? (
        <NoJobs address={address} next={page.nextPageToken} />
      ) : (
        <>
          <DataTable
            caption="Jobs, newest first"
            look={`${css.jobs} ${mayChange() ? css.picking : ""} ${page.rows.length > few ? css.many : ""}`}
            columns={columns}
            rows={page.rows}
            keyOf={({ id }) => id}
            isStale={isStale}
            onSeen={props.onSeen}
          />
          <Pager
            label="Pages of jobs"
            headingId="title"
            trail={address.trail}
            next={page.nextPageToken}
            hrefOf={(trail) => addressOf({ ...address, trail })}
          />
        </>
      )}
    </>
  );
}

function NoJobs({ address, next }: { address: ListAddress; next: string }) {
  if (next !== "") {
    return (
      <Empty title="None of the jobs looked at so far matches.">
        <a class="button" href={addressOf({ ...address, trail: [...address.trail, next] })}>
          Search further
        </a>
      </Empty>
    );
  }
  if (isFiltered(address)) {
    return (
      <Empty title="No job matches.">
        <a class="button" href={href(["jobs"])}>
          Show all jobs
        </a>
      </Empty>
    );
  }
  if (address.trail.length > 0) {
    return (
      <Empty title="There are no jobs on this page any more.">
        <a class="button" href={href(["jobs"])}>
          First page
        </a>
      </Empty>
    );
  }
  return (
    <Empty title="There are no jobs yet.">
      {mayChange() ? (
        <>
          <p>
            A job is a list of contacts to call, with a time to start. It begins with a workbook or a CSV
            file.
          </p>
          <a class="button primary" href={href(["jobs", "new"])}>
            Create the first job
          </a>
        </>
      ) : (
        <p>They will be here as soon as an operator has created one.</p>
      )}
    </Empty>
  );
}
