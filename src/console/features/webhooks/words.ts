import type { SendFailure } from "../../../domain/send-failure.ts";
import { WebhookDisabledReason } from "../../../gen/callsheet/v1/webhook_pb.ts";

/** Why nothing is sent to an endpoint. */
export const disabledWords: ReadonlyMap<WebhookDisabledReason, string> = new Map([
  [WebhookDisabledReason.COMMAND, "It was turned off."],
  [WebhookDisabledReason.FAILING, "It was turned off, since nothing arrived for five days."],
  [WebhookDisabledReason.GONE, "It was turned off, since it answered that it is gone for good (410)."],
]);

const failures: Readonly<Record<SendFailure, string>> = {
  address_blocked: "its address may not be sent to",
  name_not_found: "there is no such name",
  name_server_failed: "its name could not be looked up",
  connection_refused: "nobody listens there",
  connection_failed: "could not be reached",
  connection_lost: "the connection broke off",
  tls: "its certificate was not accepted, or it speaks no TLS",
  timeout: "did not answer in time",
  bad_answer: "answered with what is no HTTP",
  redirect: "answered with a redirect",
  gone: "answered that it is gone",
  status: "refused it",
};

/** How an attempt failed; as the service calls it where this page does not know the word. */
export const failureWords = (failure: string): string =>
  Object.entries(failures).find(([known]) => known === failure)?.[1] ?? failure;
