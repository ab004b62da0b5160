import { Notice } from "../../ui/notice.tsx";
import type { Outcome } from "./use-command.ts";

export function OutcomeNotice({ outcome }: { outcome: Outcome }) {
  switch (outcome.kind) {
    case "done":
      return <Notice tone="good">{outcome.message}.</Notice>;
    case "gone":
      return <Notice tone="bad">This job was deleted.</Notice>;
    case "refused":
      return <Notice tone="bad">{outcome.message}</Notice>;
    case "changed":
      return (
        <Notice tone="warning">
          <p>
            <strong>Nothing was done: the job has changed since this page showed it.</strong>
          </p>
          <Changes changes={outcome.changes} />
        </Notice>
      );
  }
}

export const Changes = ({ changes }: { changes: readonly string[] }) => (
  <ul>
    {changes.map((change) => (
      <li key={change}>{change}</li>
    ))}
  </ul>
);
