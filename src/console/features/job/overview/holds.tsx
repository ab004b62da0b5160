import type { BatchJob } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { count } from "../../../ui/format/numbers.ts";
import { wordsOf } from "./hold-words.ts";
import css from "./holds.module.css";

/** Why nobody, or not everybody, is being called now; nothing where everything goes on. */
export function Holds({ job }: { job: BatchJob }) {
  const holds = job.holds.filter(({ contacts }) => contacts > 0);
  if (holds.length === 0) return null;
  return (
    <section class="card" aria-labelledby="holds-title">
      <h2 id="holds-title">Why contacts are not being called</h2>
      <ul class={css.holds}>
        {holds.map((hold) => (
          <li key={hold.reason}>
            <strong>{count(hold.contacts)}</strong> {wordsOf(hold, job) || "for another reason."}
          </li>
        ))}
      </ul>
    </section>
  );
}
