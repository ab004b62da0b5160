import { timestampDate } from "@bufbuild/protobuf/wkt";
import { useEffect, useState } from "preact/hooks";
import type { ReadStartTimeResponse } from "../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { service } from "../service/client.ts";
import { insist } from "../service/insist.ts";
import { type Refusal, refusalOf } from "../service/refusal.ts";

/** A start time as it is being picked: wall-clock time in a zone. */
export type Picked = { readonly date: string; readonly time: string; readonly zone: string };

export const nothingPicked = (zone: string): Picked => ({ date: "", time: "", zone });

/** What the service is sent: the words, not the instant; the service reads them by its own rules. */
export const asRequest = ({ date, time, zone }: Picked) => ({
  scheduledStartTime: `${date}T${time}`,
  timezone: zone.trim(),
});

/** What the service takes a picked time for. The page reckons with no zones: the browser's may be older. */
export type Reading =
  | { readonly kind: "nothing" }
  | { readonly kind: "asking" }
  | { readonly kind: "refused"; readonly refusal: Refusal }
  | { readonly kind: "read"; readonly at: Date; readonly answer: ReadStartTimeResponse };

const typingPauseMs = 200;

/** The service's word on what is picked now. */
export function useReading(picked: Picked): Reading {
  const { date, time, zone } = picked;
  const words = date === "" || time === "" ? "" : JSON.stringify(asRequest(picked));
  const [known, setKnown] = useState<{ words: string; reading: Reading }>();
  useEffect(() => {
    if (words === "") return;
    const stop = new AbortController();
    const { signal } = stop;
    const show = (reading: Reading) => signal.aborted || setKnown({ words, reading });
    const timer = setTimeout(() => {
      insist(() => service.readStartTime(asRequest({ date, time, zone }), { signal }), {
        tries: Infinity,
        signal,
      }).then(
        (answer) =>
          answer.scheduledStartTime &&
          show({ kind: "read", at: timestampDate(answer.scheduledStartTime), answer }),
        (thrown: unknown) => show({ kind: "refused", refusal: refusalOf(thrown) }),
      );
    }, typingPauseMs);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [words]);
  if (words === "") return { kind: "nothing" };
  return known?.words === words ? known.reading : { kind: "asking" };
}
