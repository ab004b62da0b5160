// What the event log costs: contacts worked, and commands, with its numbers and without them.
import { functions } from "../src/postgres/functions/functions.ts";
import { command } from "./commands.ts";
import { dispatch } from "./dispatch.ts";
import type { FreshService } from "./fresh-service.ts";
import { withPostgres } from "./measure.ts";
import type { Sizes, Workload } from "./workload.ts";

const again = (definition: string): string =>
  definition.replace("create function", "create or replace function");

/** The text with other text in places that must be there. */
function without(definition: string, places: readonly (readonly [string, string])[]): string {
  return places.reduce((text, [place, instead]) => {
    if (!text.includes(place))
      throw new Error(`There is no ${place} any more; say here what is to be left out.`);
    return text.replace(place, instead);
  }, definition);
}

/** Has attempts get no numbers, and commands write no events. */
const withoutLog = ({ databaseUrl }: FreshService): Promise<unknown> =>
  withPostgres(databaseUrl, async (client) => {
    const { endLeases, takeSequences, writeEvents } = functions;
    await client.query("drop index attempts_in_log, attempts_by_stretch");
    await client.query(
      again(
        without(endLeases.definition, [
          [`${takeSequences.name}(organization, count(*)::int)`, "0::bigint"],
          ["before + row_number() over (order by place)", "null"],
        ]),
      ),
    );
    const [head = ""] = writeEvents.definition.split("as $$");
    await client.query(again(`${head}as $$ begin end $$`));
  });

export const logging = ({ dispatched: total, seconds }: Sizes): Workload => ({
  name: "events",
  title: `${total} contacts leased and reported by 8 workers, with the event log and without it`,
  unit: "contacts/s",
  better: "higher",
  note: "Without it the same build gives attempts no numbers, has no index of them, and writes no events of commands.",
  also: [
    {
      name: "events-start-64",
      title: "Starts a second, 64 in flight, with the event log and without it",
      unit: "commands/s",
      better: "higher",
      note: "Jobs of one organization, each command with a request id.",
    },
  ],
  entrants: [
    { name: "with the log", role: "callsheet", run: () => dispatch(8, total) },
    { name: "without it", role: "limit", run: () => dispatch(8, total, { prepare: withoutLog }) },
    {
      name: "starts with the log",
      figure: "events-start-64",
      role: "callsheet",
      run: () => command("start", 64, seconds),
    },
    {
      name: "starts without it",
      figure: "events-start-64",
      role: "limit",
      run: () => command("start", 64, seconds, withoutLog),
    },
  ],
});
