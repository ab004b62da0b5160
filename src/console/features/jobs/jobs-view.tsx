import { mayChange } from "../../data/session.ts";
import { DataTable } from "../../ui/data-table.tsx";
import { Heading } from "../../ui/heading.tsx";
import { Empty, Loading, Notice } from "../../ui/notice.tsx";
import { Pager } from "../../ui/pager.tsx";
import { flash } from "../../data/flash.ts";
import { href, route } from "../../data/route.ts";
import { type ListAddress, addressOf, queryOf, readAddress } from "./address.ts";
import { Filters } from "./filters.tsx";
import { jobColumns } from "./job-columns.tsx";
import { type LivePage, useLivePage } from "./live-page.ts";

export function JobsView() {
  const address = readAddress(route.value.query);
  const { page, refusal, isStale } = useLivePage(queryOf(address));
  return (
    <>
      <div class="title-bar">
        <Heading title="Jobs" />
        {mayChange() && (
          <a class="button primary" href={href(["jobs", "new"])}>
            New job
          </a>
        )}
      </div>
      {flash.value !== undefined && <Notice tone={flash.value.tone}>{flash.value.sentence}</Notice>}
      <Filters address={address} />
      {refusal && (
        <Notice tone="bad">
          {refusal.message} <a href={href(["jobs"])}>Show all jobs</a>
        </Notice>
      )}
      {page === undefined && refusal === undefined && <Loading what="jobs" />}
      {page !== undefined && refusal === undefined && (
        <Table page={page} address={address} isStale={isStale} />
      )}
    </>
  );
}

function Table({ page, address, isStale }: { page: LivePage; address: ListAddress; isStale: boolean }) {
  if (page.rows.length === 0 && !isStale) return <NoJobs address={address} next={page.nextPageToken} />;
  return (
    <>
      <DataTable
        caption="Jobs, newest first"
        look="jobs"
        columns={jobColumns}
        rows={page.rows}
        keyOf={({ id }) => id}
        isStale={isStale}
      />
      <Pager
        label="Pages of jobs"
        headingId="title"
        trail={address.trail}
        next={page.nextPageToken}
        hrefOf={(trail) => addressOf({ ...address, trail })}
      />
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
  if (address.search !== "" || address.statuses.length > 0) {
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
          <p>A job is a list of contacts to call, with a time to start. It begins with a CSV file.</p>
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
