import { sql } from "kysely";
import { largestAnswerBytes } from "../../domain/answer-size.ts";
import type { Database } from "../connections/database.ts";
import { type Places, createStatement } from "../connections/statement.ts";
import {
  type Ended,
  type EndedRow,
  type Ending,
  type EndingValues,
  endCall,
  endLeases,
  endingValues,
  readEnded,
} from "./lease-ends.ts";
import {
  type Opened,
  type OpenedRow,
  type Opening,
  type OpeningValues,
  openCall,
  openLeases,
  openingValues,
  readOpened,
} from "./leases.ts";

type TurnRow = OpenedRow & { opening: number | null };

function turnOf(
  organizationId: unknown,
  ending: Places<EndingValues>,
  openings: readonly Places<OpeningValues>[],
) {
  // It is a function of what has ended, so that it is called after that.
  const mostBytes = sql`case when ended.ended_ms is not null then ${largestAnswerBytes}::bigint end`;
  const each = openings.map(
    (opening, i) => sql`
    select ${i}::int, o.turn, o.number, o.nonce, o.attempt, o.caller, o.leased_ms, o.call_before_ms, o.contact
    from ended cross join lateral ${openCall(organizationId, opening, mostBytes)} as o`,
  );
  return sql<TurnRow>`
    with ended as materialized (select * from ${endCall(organizationId, ending)})
    select null::int as opening, null::int as turn, null::int as number, null::bigint as nonce, null::int as attempt,
      null::int as caller, null::bigint as "leasedMs", null::bigint as "callBeforeMs", to_json(ended)::text as contact
    from ended
    union all ${sql.join(each, sql` union all `)}`;
}

const turnWithOneOpening = createStatement<
  { organizationId: number } & EndingValues & OpeningValues,
  TurnRow
>((of) => turnOf(of.organizationId, of, [of]));

/**
 * Ends what was reported, and then opens leases into what has become free: one statement, one round trip and one
 * commit. Each opening is judged by what those before it have left.
 */
export async function takeTurn(
  db: Database,
  organizationId: number,
  endings: readonly Ending[],
  openings: readonly Opening[],
): Promise<{ ended: Ended; opened: Opened[] }> {
  const [first] = openings;
  if (first === undefined) {
    return { ended: await endLeases(db, organizationId, endings, { onlyExpired: false }), opened: [] };
  }
  if (endings.length === 0 && openings.length === 1) {
    const opened = await openLeases(db, organizationId, first.offers, first.takers);
    return { ended: { endedAt: new Date(), contacts: [], finished: [], paused: [] }, opened: [opened] };
  }
  const ending = endingValues(endings, { onlyExpired: false });
  const rows =
    openings.length === 1
      ? await turnWithOneOpening(db, { organizationId, ...ending, ...openingValues(first) })
      : (await turnOf(organizationId, ending, openings.map(openingValues)).execute(db)).rows;
  const ended = rows.find(({ opening }) => opening === null);
  const answer: EndedRow | undefined = ended === undefined ? undefined : JSON.parse(ended.contact);
  const ofEach = Map.groupBy(rows, ({ opening }) => opening);
  return {
    ended: readEnded(endings, answer),
    opened: openings.map((opening, i) => readOpened(opening, ofEach.get(i) ?? [])),
  };
}
