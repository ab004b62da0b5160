import { createHash } from "node:crypto";
import type { EventType, LoggedEvent } from "../domain/event.ts";
import { type Parcel, attemptsType } from "../postgres/events/webhook-deliveries.ts";

/** An event as the API has it in JSON. */
export type WriteEvent = (event: LoggedEvent) => object;

const mostBytes = 20_000;
const mostTogether = 50;

/** Events that come by the thousand go together, under this type. */
const together: Partial<Record<EventType, string>> = {
  "contact.attempt_ended": attemptsType,
  "contact.suppressed": "contacts.suppressed",
};

type Written = {
  readonly sequence: number;
  readonly at: Date;
  readonly json: string;
  readonly bytes: number;
};

/**
 * What is sent to an endpoint again has the same id, from whichever replica. The numbers of its events would not do: a
 * Postgres that has lost the end of a log gives them to others.
 */
const idOf = (endpointId: string, body: string): string =>
  `msg_${createHash("sha256").update(endpointId).update(body).digest("base64url").slice(0, 32)}`;

const bodyOf = (type: string, at: Date, data: string): string =>
  `{"type":${JSON.stringify(type)},"timestamp":"${at.toISOString()}","data":${data}}`;

function toParcel(
  endpointId: string,
  type: string,
  events: readonly Written[],
  dataOf: (last: Written) => string,
) {
  const [first, last] = [events[0], events.at(-1)];
  if (first === undefined || last === undefined) throw new Error("a parcel of nothing");
  const body = bodyOf(type, last.at, dataOf(last));
  return {
    id: idOf(endpointId, body),
    type,
    events: events.length,
    firstSequence: first.sequence,
    lastSequence: last.sequence,
    body,
  };
}

const gathered = (events: readonly Written[]) => (last: Written) =>
  `{"sequence":"${last.sequence}","events":[${events.map(({ json }) => json).join(",")}]}`;

/** What is around the events of a body. */
const aroundEvents = 200;

/** Makes what is sent to an endpoint out of events, in their order; a body that would be too large says so. */
export function toParcels(endpointId: string, events: readonly LoggedEvent[], write: WriteEvent): Parcel[] {
  const parcels: Parcel[] = [];
  const open = new Map<string, { events: Written[]; bytes: number }>();

  function close(type: string): void {
    const batch = open.get(type);
    if (batch !== undefined) parcels.push(toParcel(endpointId, type, batch.events, gathered(batch.events)));
    open.delete(type);
  }

  for (const event of events) {
    const json = JSON.stringify(write(event));
    const one = { sequence: event.sequence, at: event.occurredAt, json, bytes: Buffer.byteLength(json) };
    const type = together[event.type];
    if (type === undefined) {
      const fits = one.bytes + aroundEvents < mostBytes;
      const data = fits ? json : JSON.stringify({ ...write({ ...event, data: null }), dataOmitted: true });
      parcels.push(toParcel(endpointId, event.type, [one], () => data));
      continue;
    }
    const batch = open.get(type);
    if (batch && (batch.events.length === mostTogether || batch.bytes + one.bytes + 1 > mostBytes))
      close(type);
    const gathering = open.get(type) ?? { events: [], bytes: aroundEvents };
    open.set(type, gathering);
    gathering.events.push(one);
    gathering.bytes += one.bytes + 1;
  }
  for (const type of open.keys()) close(type);
  return parcels;
}
