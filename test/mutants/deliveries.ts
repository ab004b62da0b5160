import type { Mutant } from "./mutants.ts";

const settling = "src/webhooks/settling.ts";
const courier = "src/webhooks/courier.ts";
const delivering = "test/webhooks/delivering.test.ts";
const endpoints = "test/webhooks/endpoints.test.ts";

/** Events that are sent: nothing is lost, nobody holds up another, and secrets stay where they sign. */
export const deliveries: Mutant[] = [
  {
    guard: "what a replay sends beside the log is kept once",
    file: "src/webhooks/settling.ts",
    text: "onePerDelivery(ended.filter((one) => one.isKept || hasFailed(one)))",
    instead: "ended.filter((one) => one.isKept || hasFailed(one))",
    test: "test/webhooks/delivering.test.ts",
    title: "what a replay sends beside the log is one delivery, of which an attempt that was taken counts",
  },
  {
    guard: "what was not taken is kept where the place of an endpoint goes past it",
    file: settling,
    text: "ended.filter((one) => one.isKept || hasFailed(one))",
    instead: "ended.filter((one) => one.isKept)",
    test: delivering,
    title: "comes again with the same id and the same body, and is listed",
  },
  {
    guard: "the place of an endpoint does not go past what is on its way",
    file: courier,
    text: "if (!settled.has(going)) place = Math.min(place, going.parcel.firstSequence - 1);",
    instead: "if (!settled.has(going)) place = Math.min(place, Infinity);",
    test: delivering,
    title: "the other sends what was on its way when the first one was gone",
  },
  {
    guard: "a replica that holds an endpoint no more keeps nothing of it",
    file: "src/postgres/events/webhook-holders.ts",
    text: "e.id = ${id} and e.holder = ${holder}",
    instead: "e.id = ${id} and ${holder}::uuid is not null",
    test: delivering,
    title: "the one that holds an endpoint no more keeps nothing of it",
  },
  {
    guard: "nothing is given up for an endpoint that does nothing but fail",
    file: settling,
    text: "?? (failsOnly ? delayMs(lastRetry) : undefined)",
    instead: "",
    test: delivering,
    title: "is not given up while its endpoint does nothing but fail, until that is disabled after 120 hours",
  },
  {
    guard: "a replay tells of what is no longer kept",
    file: courier,
    text: "if (replay !== undefined) await skip(replay);",
    instead: "",
    test: delivering,
    title: "what is no longer kept when a replay comes to it is passed over, and that is told",
  },
  {
    guard: "what is no longer kept is not passed over behind what is on its way",
    file: courier,
    text: "if (track.taken < Math.min(page.head.firstSequence - 1, track.to)) return;",
    instead: "",
    test: delivering,
    title: "what is no longer kept is told also while something before it is on its way",
  },
  {
    guard: "an endpoint that fails keeps its place once some deliveries wait",
    file: courier,
    text: "held.pendingDeliveries + open < most",
    instead: "open < most",
    test: delivering,
    title: "an endpoint that is dead keeps its place, and has everything when it is back",
  },
  {
    guard: "each endpoint has room of its own for what is on its way",
    file: "src/webhooks/delivering.ts",
    text: "own === 0 || (own < mostAtOnce.usually",
    instead: "(own < mostAtOnce.usually",
    test: delivering,
    title: "a receiver that answers nothing holds up no other, of its organization or another",
  },
  {
    guard: "a receiver that answers 410 is sent nothing more",
    file: settling,
    text: 'if (ended.some(({ sent }) => sent.failure === "gone")) return "gone";',
    instead: "",
    test: delivering,
    title: "410 disables an endpoint, to which nothing more is sent",
  },
  {
    guard: "what was read before a receiver said that it is gone is not sent to it",
    file: courier,
    text: "takesEvents() || parcel.type === testType",
    instead: 'takesEvents() || parcel.type !== ""',
    test: delivering,
    title: "410 disables an endpoint, to which nothing more is sent",
  },
  {
    guard: "an old secret does not sign for ever",
    file: courier,
    text: "return oldSecret !== null && isOldValid ?",
    instead: "return oldSecret !== null && (isOldValid || true) ?",
    test: delivering,
    title: "an old secret signs beside the new one until it expires",
  },
  {
    guard: "an organization has no more endpoints than it may have",
    file: "src/webhooks/endpoints.ts",
    text: ".length >= mostEndpoints",
    instead: ".length > mostEndpoints",
    test: endpoints,
    title: "an organization has no more than 20, however many are asked for at once",
  },
  {
    guard: "a key that was revoked changes no endpoint",
    file: "src/webhooks/endpoints.ts",
    text: "  await lockForAdmin(trx, caller);\n  const key",
    instead: "  const key",
    test: endpoints,
    title: "whoever has a key that another replica has revoked",
  },
];
