import { awaySince } from "../data/service/connection.ts";
import { clockTime, viewerZone } from "../ui/format/times.ts";
import { Spinner } from "../ui/page/notice.tsx";
import css from "./away-banner.module.css";

/** Says that the service does not answer, and that the page goes on trying; nothing while it does. */
export function AwayBanner() {
  const since = awaySince.value;
  return (
    <div role="status" aria-live="polite">
      {since !== undefined && (
        <p class={css.away}>
          <Spinner />
          <span>
            <strong>The service does not answer.</strong> What you see is as of {clockTime(since, viewerZone)}
            . Trying again by itself …
          </span>
        </p>
      )}
    </div>
  );
}
