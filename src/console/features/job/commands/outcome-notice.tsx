import type { Said } from "../../../ui/form/form.tsx";
import { Notice } from "../../../ui/page/notice.tsx";
import type { Outcome } from "./use-command.ts";

/** What there is to be said of what became of a command. */
export function saidOf(outcome: Outcome): Said {
  switch (outcome.kind) {
    case "done":
      return { tone: "good", told: `${outcome.message}.` };
    case "gone":
      return { tone: "bad", told: "This job was deleted." };
    case "refused":
      return { tone: "bad", told: outcome.message };
    case "changed":
      return {
        tone: "warning",
        told: (
          <>
            <p>
              <strong>Nothing was done: the job has changed since this page showed it.</strong>
            </p>
            <Changes changes={outcome.changes} />
          </>
        ),
      };
  }
}

export function OutcomeNotice({ outcome }: { outcome: Outcome }) {
  const { tone, told } = saidOf(outcome);
  return <Notice tone={tone}>{told}</Notice>;
}

export const Changes = ({ changes }: { changes: readonly string[] }) => (
  <ul>
    {changes.map((change) => (
      <li key={change}>{change}</li>
    ))}
  </ul>
);
