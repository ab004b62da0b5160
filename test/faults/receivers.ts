import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { sql } from "kysely";
import type { EventType } from "../../src/domain/event.ts";
import { eventually } from "../support/eventually.ts";
import type { Random } from "../support/random.ts";
import { type Answer, startInbox } from "../webhooks/inbox.ts";
import { createInsist } from "./insist.ts";
import type { System } from "./system.ts";

/** What a receiver does with a request. It takes what it answers 200. */
type Conduct = (random: Random) => Answer | Promise<Answer>;

/** Phases of a receiver that comes and goes. */
const flapMs = 7_000;

const kinds: Record<string, { conduct: Conduct; lives: boolean; types: EventType[] }> = {
  good: { conduct: () => 200, lives: true, types: [] },
  slow: {
    conduct: (random) => delay(random.between(200, 2_000), 200),
    lives: true,
    types: ["contact.attempt_ended", "batch_job.started", "batch_job.completed"],
  },
  flapping: {
    conduct: (random) => {
      const isAway = Math.floor(performance.now() / flapMs) % 2 === 1;
      return isAway || random.chance(0.05) ? 503 : 200;
    },
    lives: true,
    types: [],
  },
  dead: { conduct: () => new Promise<never>(() => {}), lives: false, types: [] },
};

export type Receivers = AsyncDisposable & {
  /** Has those that live take everything, and waits until they have all that there is. */
  catchUp(withinMs: number): Promise<void>;
};

/** Receivers of each kind, each behind an endpoint; what they took is in the history. Loopback must be allowed. */
export async function startReceivers(system: System): Promise<Receivers> {
  await using stack = new AsyncDisposableStack();
  const insist = createInsist(system);
  const living: { id: string; takeAll: () => void }[] = [];
  for (const [name, { conduct, lives, types }] of Object.entries(kinds)) {
    const inbox = stack.use(await startInbox());
    const random = system.randomOf(`the receiver that is ${name}`);
    const asked = { requestId: randomUUID(), url: inbox.url, types, description: name };
    const { webhookEndpoint } = await insist("CreateWebhookEndpoint", ({ webhooks }, o) =>
      webhooks.createWebhookEndpoint(asked, o),
    );
    const endpoint = { id: webhookEndpoint?.webhookEndpointId ?? "", name, lives, types, received: [] };
    system.history.endpoints.push(endpoint);
    const received: { id: string; body: string; isTaken: boolean }[] = endpoint.received;
    const answerBy = (answer: Conduct) =>
      inbox.answerWith(async ({ id, body }) => {
        const one = { id, body, isTaken: false };
        received.push(one);
        const given = await answer(random);
        one.isTaken = given === 200;
        return given;
      });
    answerBy(conduct);
    if (lives) living.push({ id: endpoint.id, takeAll: () => answerBy(() => 200) });
  }
  const running = stack.move();
  return {
    async catchUp(withinMs) {
      for (const { takeAll } of living) takeAll();
      const ids = living.map(({ id }) => id);
      await system.withDatabase((db) =>
        eventually(async () => {
          // Nobody waits here for hours.
          await sql`
            update webhook_deliveries set due_at = clock_timestamp()
            where endpoint_id = any(${ids}::uuid[]) and due_at > clock_timestamp()`.execute(db);
          const { rows } = await sql`
            select e.description from webhook_endpoints e
            join event_heads h on h.organization_id = e.organization_id
            where e.id = any(${ids}::uuid[]) and (e.sequence < h.sequence or e.pending_deliveries > 0)`.execute(
            db,
          );
          if (rows.length > 0) throw new Error(`not all has come: ${JSON.stringify(rows)}`);
        }, withinMs),
      );
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
