import type { IncomingMessage, ServerResponse } from "node:http";
import { cors } from "@connectrpc/connect";

/** What pages of other origins may do with the calls here. */
export type Cors = {
  /** Has the browser show the answer to a page that may see it. */
  mark(request: IncomingMessage, response: ServerResponse): void;
  /** Whether a browser asks here, on behalf of a page that may call, if it may. */
  isPreflight(request: IncomingMessage): boolean;
  answerPreflight(response: ServerResponse): void;
};

/** Chromium asks again after so long, whatever it is told. */
const maxAgeSeconds = 7_200;

const methods = [...new Set([...cors.allowedMethods, "PATCH", "DELETE"])].join(", ");

const asked = [
  ...cors.allowedHeaders,
  "Authorization",
  "X-Api-Key",
  "Idempotency-Key",
  "If-Match",
  "traceparent",
  "tracestate",
].join(", ");

const exposed = [
  ...cors.exposedHeaders,
  "ETag",
  "Retry-After",
  "Content-Disposition",
  "Allow",
  "Accept-Post",
  "WWW-Authenticate",
  "callsheet-call-id",
].join(", ");

/** Allows these origins, and no other, to call with a key that the page has: no cookie is ever asked for. */
export function createCors(origins: readonly string[]): Cors {
  const allowed = new Set(origins);
  const isAllowed = ({ headers }: IncomingMessage) =>
    headers.origin !== undefined && allowed.has(headers.origin);
  return {
    mark(request, response) {
      // Who keeps an answer for others must know that it is not the same for all.
      if (allowed.size > 0) response.setHeader("vary", "Origin");
      if (!isAllowed(request)) return;
      response.setHeader("access-control-allow-origin", request.headers.origin ?? "");
      response.setHeader("access-control-expose-headers", exposed);
    },
    isPreflight: (request) =>
      request.method === "OPTIONS" &&
      request.headers["access-control-request-method"] !== undefined &&
      isAllowed(request),
    answerPreflight(response) {
      response.setHeader("access-control-allow-methods", methods);
      response.setHeader("access-control-allow-headers", asked);
      response.setHeader("access-control-max-age", String(maxAgeSeconds));
      response.writeHead(204).end();
    },
  };
}
