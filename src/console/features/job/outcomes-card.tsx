import type { ContactCounts } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { count, share } from "../../ui/format/numbers.ts";
import { final, endings } from "../../ui/format/words.ts";
import { contactsAddress } from "./contacts-address.ts";

/** How contacts ended. Every row leads to the contacts it counts. */
export function OutcomesCard({ id, counts }: { id: string; counts: ContactCounts }) {
  const done = final(counts);
  const present = endings.filter(({ key }) => counts[key] > 0);
  return (
    <section class="card" aria-labelledby="outcomes-title">
      <h2 id="outcomes-title">Outcomes</h2>
      {present.length === 0 ? (
        <p class="quiet">No contact is finished yet.</p>
      ) : (
        <table class="outcomes">
          <thead class="unseen">
            <tr>
              <th scope="col">Outcome</th>
              <th scope="col">Contacts</th>
              <th scope="col">Share</th>
            </tr>
          </thead>
          <tbody>
            {present.map(({ key, status, word }) => (
              <tr key={key}>
                <th scope="row">
                  <a href={contactsAddress({ id, statuses: [status], trail: [] })}>
                    <span class="swatch" style={{ background: `var(--end-${key})` }} aria-hidden="true" />
                    {word}
                  </a>
                  <span class="bar" aria-hidden="true">
                    <span
                      style={{ width: `${(100 * counts[key]) / done}%`, background: `var(--end-${key})` }}
                    />
                  </span>
                </th>
                <td class="number" data-count={key}>
                  {count(counts[key])}
                </td>
                <td class="number quiet">{share(counts[key], done)}</td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">Finished</th>
              <td class="number">{count(done)}</td>
              <td class="number quiet">{share(done, counts.total)} of all</td>
            </tr>
          </tfoot>
        </table>
      )}
    </section>
  );
}
