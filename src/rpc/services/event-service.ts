import type { ServiceImpl } from "@connectrpc/connect";
import type { EventLog } from "../../events/event-log.ts";
import type { Following } from "../../events/following.ts";
import type { EventService, ListEventsRequest } from "../../gen/callsheet/v1/event_service_pb.ts";
import { callerOf } from "../gate/gate.ts";
import { toEvent } from "../convert/events.ts";

const queryOf = (request: Pick<ListEventsRequest, "afterSequence" | "types" | "batchJobIds">) => ({
  afterSequence: Number(request.afterSequence),
  types: request.types,
  batchJobIds: request.batchJobIds,
});

/** Converts, calls, converts: what each RPC does is in src/events. */
export function eventService(log: EventLog, following: Following): ServiceImpl<typeof EventService> {
  return {
    async listEvents(request, context) {
      const query = { ...queryOf(request), pageSize: request.pageSize };
      const { events, lastSequence, head } = await log.list(callerOf(context), query);
      return {
        events: events.map(toEvent),
        lastSequence: BigInt(lastSequence),
        headSequence: BigInt(head.sequence),
        firstSequence: BigInt(head.firstSequence),
      };
    },

    async *watchEvents(request, context) {
      const told = following.follow(callerOf(context), queryOf(request), context.signal);
      for await (const { events, lastSequence, headSequence } of told) {
        yield {
          events: events.map(toEvent),
          lastSequence: BigInt(lastSequence),
          headSequence: BigInt(headSequence),
        };
      }
    },
  };
}
