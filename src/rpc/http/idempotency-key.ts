import type { Interceptor } from "@connectrpc/connect";
import { BatchJobError } from "../../domain/batch-job-error.ts";
import { toConnectError } from "../errors.ts";

const differ = () =>
  new BatchJobError(
    "invalid_argument",
    "The Idempotency-Key is another one than the request_id; give one of them, or the same.",
    { field: "request_id" },
  );

/** The header Idempotency-Key is the request_id of a request that has one field for it, and gives none. */
export const idempotencyKey: Interceptor = (next) => async (request) => {
  const key = request.header.get("idempotency-key") ?? "";
  if (key === "" || request.stream || !("requestId" in request.message)) return await next(request);
  const { message } = request;
  if (message.requestId !== "" && message.requestId !== key) throw toConnectError(differ());
  message.requestId = key;
  return await next(request);
};
