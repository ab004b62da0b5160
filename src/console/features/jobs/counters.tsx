import type { BatchJobStatus } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { navigate } from "../../data/page/route.ts";
import { jobStatusWords } from "../../ui/format/words.ts";
import { toggled } from "../../ui/form/toggled.ts";
import { type ListAddress, addressOf, firstPage } from "./address.ts";
import { type Counts, countWords } from "./counts.ts";
import css from "./jobs.module.css";

/** How many jobs there are in each status, of those that the other filters let through. Pressed, each is a filter. */
export function Counters({ address, counts }: { address: ListAddress; counts: Counts }) {
  return (
    <fieldset class={css.counters}>
      <legend class="unseen">Status</legend>
      {[...jobStatusWords].map(([value, word]) => {
        const status = value as BatchJobStatus;
        const counted = counts?.get(status);
        return (
          <label class={css.counter} key={status}>
            <input
              type="checkbox"
              checked={address.statuses.includes(status)}
              onChange={() =>
                navigate(addressOf({ ...firstPage(address), statuses: toggled(address.statuses, status) }))
              }
            />
            <span>{word}</span> <strong>{counted === undefined ? "–" : countWords(counted)}</strong>
          </label>
        );
      })}
    </fieldset>
  );
}
