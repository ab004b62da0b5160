import { type Client, Code, ConnectError, type Interceptor, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { BatchJobService } from "../../gen/callsheet/v1/batch_job_service_pb.ts";
import { noteAnswer, noteNoAnswer } from "./connection.ts";
import { refusalOf } from "./refusal.ts";
import { session, signOut } from "./session.ts";

const unaryTimeoutMs = 20_000;

const clientWith = (interceptor: Interceptor): Client<typeof BatchJobService> =>
  createClient(
    BatchJobService,
    createConnectTransport({
      // The service may be under a path.
      baseUrl: new URL(".", location.href).href,
      useBinaryFormat: true,
      defaultTimeoutMs: unaryTimeoutMs,
      interceptors: [interceptor],
    }),
  );

/** Signs the page out if the key is refused, and keeps the page's word on whether the service answers. */
export function noteRefusal(thrown: unknown): void {
  const refusal = refusalOf(thrown);
  if (refusal.isAway) return noteNoAnswer();
  noteAnswer();
  if (refusal.reason === "invalid_api_key") signOut("The service no longer accepts this key.");
}

/** Calls the service with the key of whoever is signed in. */
export const service = clientWith((next) => async (request) => {
  request.header.set("authorization", `Bearer ${session.value?.apiKey ?? ""}`);
  try {
    const response = await next(request);
    noteAnswer();
    return response;
  } catch (error) {
    if (ConnectError.from(error).code !== Code.Canceled) noteRefusal(error);
    throw error;
  }
});

/** Calls the service with a key that is yet to be tried. */
export const serviceWith = (apiKey: string): Client<typeof BatchJobService> =>
  clientWith((next) => (request) => {
    request.header.set("authorization", `Bearer ${apiKey}`);
    return next(request);
  });
