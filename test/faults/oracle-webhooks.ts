import { sql } from "kysely";
import type { Database } from "../../src/postgres/connections/database.ts";
import type { LoggedEvent } from "../../src/domain/event.ts";
import { readLog } from "../support/log-fold.ts";
import type { ToldEndpoint } from "./history.ts";
import type { Violation } from "./oracle.ts";

const rules = {
  arrives: "every event that an endpoint asks for arrives, or is still to come if its receiver is dead",
  same: "what comes under one id is one body, but for what is erased",
  asked: "nothing comes that an endpoint has not asked for",
  ordered: "a body has its events in the order of the log, and says where it ends",
};

/** The numbers of the events in a body; none of a test. */
function sequencesOf(body: string): { sequences: number[]; end: number } {
  const { data } = JSON.parse(body) as { data: { sequence?: string; events?: { sequence: string }[] } };
  const end = Number(data.sequence ?? 0);
  return { sequences: data.events?.map(({ sequence }) => Number(sequence)) ?? [end], end };
}

/** The numbers of the events of attempts in which nothing is said in words, perhaps since the contact was erased. */
const wordless = (log: readonly LoggedEvent[]): ReadonlySet<number> =>
  new Set(
    log.flatMap(({ sequence, type, data }) =>
      type === "contact.attempt_ended" && !data?.["errorCode"] && !data?.["providerCallId"] ? [sequence] : [],
    ),
  );

/** The body without the words in these events; written in another way it is another body. */
function withoutWords(body: string, without: ReadonlySet<number>): string {
  const parsed = JSON.parse(body) as {
    data: { events?: { sequence: string; contactAttemptEnded?: object }[] };
  };
  if (JSON.stringify(parsed) !== body) return body;
  for (const { sequence, contactAttemptEnded: attempt } of parsed.data.events ?? []) {
    if (attempt !== undefined && without.has(Number(sequence)))
      Object.assign(attempt, { errorCode: "", providerCallId: "" });
  }
  return JSON.stringify(parsed);
}

/** What of this is not as it was promised to a receiver. */
async function judgeEndpoint(
  db: Database,
  log: readonly LoggedEvent[],
  { id, name, lives, types, received }: ToldEndpoint,
): Promise<Violation[]> {
  const isIts = ({ type, data }: LoggedEvent) =>
    type === "webhook_endpoint.created" &&
    data !== null &&
    "webhookEndpointId" in data &&
    data.webhookEndpointId === id;
  const made = log.find(isIts)?.sequence ?? Infinity;
  const asked = new Set(
    log
      .filter(({ sequence, type }) => sequence >= made && (types.length === 0 || types.includes(type)))
      .map(({ sequence }) => sequence),
  );
  const { rows } = await sql<{ sequence: number; bodies: string[] }>`
    select e.sequence, array(
      select d.body from webhook_deliveries d
      where d.organization_id = e.organization_id and d.endpoint_id = e.id and d.status = 'pending') as bodies
    from webhook_endpoints e where e.id = ${id}`.execute(db);
  const { sequence: place = 0, bodies = [] } = rows[0] ?? {};
  const pending = new Set(bodies.flatMap((body) => sequencesOf(body).sequences));
  const taken = new Set(
    received.filter(({ isTaken }) => isTaken).flatMap(({ body }) => sequencesOf(body).sequences),
  );
  const isToCome = (sequence: number) => !lives && (sequence > place || pending.has(sequence));
  const found = [...asked]
    .filter((sequence) => !taken.has(sequence) && !isToCome(sequence))
    .map((sequence) => ({ rule: rules.arrives, detail: `${name}: ${sequence}` }));

  const first = new Map<string, string>();
  const erased = wordless(log);
  for (const one of received) {
    const { sequences, end } = sequencesOf(one.body);
    const detail = `${name}: ${one.id} with ${sequences.join(", ")}`;
    const body = withoutWords(one.body, erased);
    if ((first.get(one.id) ?? body) !== body) found.push({ rule: rules.same, detail });
    first.set(one.id, body);
    if (sequences.some((sequence) => !asked.has(sequence))) found.push({ rule: rules.asked, detail });
    const inOrder = sequences.toSorted((a, b) => a - b);
    if (String(inOrder) !== String(sequences) || inOrder.at(-1) !== end)
      found.push({ rule: rules.ordered, detail });
  }
  return found;
}

/** What receivers were sent, held to the log; deliveries should be at rest at those that live. */
export async function judgeWebhooks(db: Database, endpoints: readonly ToldEndpoint[]): Promise<Violation[]> {
  const [any] = endpoints;
  if (any === undefined) return [];
  const { rows } = await sql<{ organization: number }>`
    select organization_id as organization from webhook_endpoints where id = ${any.id}`.execute(db);
  const log = await readLog(db, rows[0]?.organization ?? 0);
  const found: Violation[] = [];
  for (const endpoint of endpoints) found.push(...(await judgeEndpoint(db, log, endpoint)).slice(0, 5));
  return found;
}
