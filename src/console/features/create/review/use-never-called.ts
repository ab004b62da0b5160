import { useEffect, useState } from "preact/hooks";
import { SuppressionService } from "../../../../gen/callsheet/v1/suppression_service_pb.ts";
import { clientOf } from "../../../data/service/client.ts";
import { insist } from "../../../data/service/insist.ts";
import { type Refusal, refusalOf } from "../../../data/service/refusal.ts";
import type { ChosenFile } from "../file/chosen-file.ts";

const suppression = clientOf(SuppressionService);

/** As many as the service is asked for at a time, and so many times at most. */
const phonesAtOnce = 1_000;
const mostCalls = 100;
const tries = 4;

/** Who of a file is never called. */
export type NeverCalled = {
  /** How many were looked up so far. */
  readonly asked: number;
  /** Who is on the list of those who are never called: a contact of the job, and left out of its calls. */
  readonly listed: readonly string[];
  /** Whose data was erased: the service takes no contact with their phone. */
  readonly erased: readonly string[];
  readonly isDone: boolean;
  readonly refusal?: Refusal;
};

export const nothingAsked: NeverCalled = { asked: 0, listed: [], erased: [], isDone: false };

/** Looks the people of a file up, piece by piece: all of them, or the first hundred thousand. */
export function useNeverCalled(file: ChosenFile, people: number): NeverCalled {
  const [known, setKnown] = useState(nothingAsked);
  useEffect(() => {
    const stop = new AbortController();
    const { signal } = stop;
    const most = Math.min(people, phonesAtOnce * mostCalls);

    async function lookUp(): Promise<void> {
      const listed: string[] = [];
      const erased: string[] = [];
      for (let from = 0; from < most; from += phonesAtOnce) {
        const phones = [...(await file.phones(from, Math.min(from + phonesAtOnce, most)))];
        const answer = await insist(() => suppression.checkSuppressedPhones({ phones }, { signal }), {
          tries,
          signal,
        });
        for (const { phone, isErased } of answer.suppressedPhones) (isErased ? erased : listed).push(phone);
        const asked = from + phones.length;
        if (signal.aborted) return;
        setKnown({ asked, listed: [...listed], erased: [...erased], isDone: asked >= most });
      }
    }

    lookUp().catch((thrown: unknown) => {
      if (!signal.aborted) setKnown((before) => ({ ...before, isDone: true, refusal: refusalOf(thrown) }));
    });
    return () => stop.abort();
  }, [file, people]);
  return known;
}
