import type { BatchJob, ContactCounts } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { type Column, DataTable, within } from "../../../ui/table/data-table.tsx";
import { count, share } from "../../../ui/format/numbers.ts";
import { type Ending, endings, final } from "../../../ui/format/words.ts";
import { contactsAddress } from "../contacts/contacts-address.ts";
import { Download } from "../contacts/download.tsx";
import css from "./outcomes.module.css";

/** How contacts ended. Every row leads to the contacts it counts. */
export function OutcomesCard({ job, counts }: { job: BatchJob; counts: ContactCounts }) {
  const id = job.batchJobId;
  const done = final(counts);
  const present = endings.filter(({ key }) => counts[key] > 0);
  const columns: readonly Column<Ending>[] = [
    {
      title: "Outcome",
      look: css.outcome,
      foot: "Finished",
      cell: ({ key, status, word }) => (
        <>
          <a href={contactsAddress({ id, statuses: [status], trail: [] })}>
            <span class={css.swatch} style={{ background: `var(--end-${key})` }} aria-hidden="true" />
            {word}
          </a>
          <span class={css.bar} aria-hidden="true">
            <span style={{ width: `${(100 * counts[key]) / done}%`, background: `var(--end-${key})` }} />
          </span>
        </>
      ),
    },
    { title: "Contacts", isNumber: true, foot: count(done), cell: ({ key }) => count(counts[key]) },
    {
      title: "Share",
      isNumber: true,
      foot: `${share(done, counts.total)} of all`,
      cell: ({ key }) => <span class="quiet">{share(counts[key], done)}</span>,
    },
  ];
  return (
    <section class="card" aria-labelledby="outcomes-title">
      <div class="title-bar">
        <h2 id="outcomes-title">Outcomes</h2>
        {present.length > 0 && <Download job={job} statuses={[]} words="Download results" />}
      </div>
      {present.length === 0 ? (
        <p class="quiet">No contact is finished yet.</p>
      ) : (
        <DataTable
          caption="Outcomes"
          look={within}
          columns={columns}
          rows={present}
          keyOf={({ key }) => key}
        />
      )}
    </section>
  );
}
