import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import type { Logger } from "pino";
import { BatchJobError, type ErrorReason } from "../domain/batch-job-error.ts";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { asConnectError, isOfItsEnd } from "./calls/last-resort.ts";

/** The Connect code of each reason. */
export const codes: Record<ErrorReason, Code> = {
  job_not_found: Code.NotFound,
  contact_not_found: Code.NotFound,
  import_not_found: Code.NotFound,
  api_key_not_found: Code.NotFound,
  webhook_endpoint_not_found: Code.NotFound,
  already_running: Code.FailedPrecondition,
  invalid_status: Code.FailedPrecondition,
  already_terminal: Code.FailedPrecondition,
  not_updatable: Code.FailedPrecondition,
  no_contacts: Code.FailedPrecondition,
  invalid_timezone: Code.InvalidArgument,
  invalid_datetime: Code.InvalidArgument,
  past_scheduled_time: Code.InvalidArgument,
  invalid_argument: Code.InvalidArgument,
  no_valid_contacts: Code.InvalidArgument,
  invalid_page_token: Code.InvalidArgument,
  cursor_expired: Code.InvalidArgument,
  request_id_reused: Code.InvalidArgument,
  revision_mismatch: Code.Aborted,
  last_admin_key: Code.FailedPrecondition,
  no_erasure_key: Code.FailedPrecondition,
  invalid_api_key: Code.Unauthenticated,
  permission_denied: Code.PermissionDenied,
  too_large: Code.InvalidArgument,
  rate_limited: Code.ResourceExhausted,
  limit_exceeded: Code.ResourceExhausted,
  unavailable: Code.Unavailable,
};

/** The header that names a call, in the answer and in the log. */
export const callIdHeader = "callsheet-call-id";

/** A code as Connect writes it, such as `not_found`. */
export const codeName = (code: Code): string =>
  Code[code].replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_").toLowerCase();

/** How long a client may well wait before it asks again, where waiting helps. */
const retryDelaysMs: Partial<Record<ErrorReason, number>> = { unavailable: 1_000, rate_limited: 1_000 };

/** The seconds after which an error may be gone, as the header of that name has them; undefined if nothing is known. */
export function retryAfterOf(error: ConnectError): string | undefined {
  const [retry] = error.findDetails(RetryInfoSchema);
  const delay = retry?.retryDelay;
  return delay && String(Math.max(1, Math.ceil(durationMs(delay) / 1_000)));
}

export type FieldViolation = { field: string; description: string };

/** A refusal as clients see it: one ErrorInfo, and what goes with it. */
export function toConnectError(error: BatchJobError, fieldViolations: FieldViolation[] = []): ConnectError {
  const { reason, message, metadata, retryDelayMs = retryDelaysMs[reason] } = error;
  const info = {
    reason: reason.toUpperCase(),
    domain: "callsheet",
    metadata: { code: reason, ...metadata },
  };
  return new ConnectError(message, codes[reason], undefined, [
    { desc: ErrorInfoSchema, value: info },
    ...(fieldViolations.length > 0 ? [{ desc: BadRequestSchema, value: { fieldViolations } }] : []),
    ...(retryDelayMs === undefined
      ? []
      : [{ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(retryDelayMs) } }]),
  ]);
}

type Translate = (thrown: unknown, signal?: AbortSignal) => ConnectError;

/**
 * Turns whatever was thrown into what the client may see: `refusalOf` knows the failures of what is underneath. What
 * nobody expected is logged and answered as Internal.
 */
export function createErrorTranslation(
  logger: Logger,
  refusalOf: (thrown: unknown) => BatchJobError | undefined,
): Translate {
  return (thrown, signal) => {
    if (thrown instanceof ConnectError) return thrown;
    if (signal !== undefined && isOfItsEnd(thrown, signal)) return asConnectError(thrown, signal);
    if (thrown instanceof BatchJobError) return toConnectError(thrown);
    const refusal = refusalOf(thrown);
    if (refusal !== undefined) {
      logger.warn({ err: thrown }, refusal.message);
      return toConnectError(refusal);
    }
    logger.error({ err: thrown }, "unexpected error");
    return new ConnectError("internal error", Code.Internal);
  };
}

/** Translates what handlers throw, also in the middle of a stream. It goes nearest to the handlers. */
export function errorInterceptor(translate: Translate): Interceptor {
  async function* translateStream<T>(messages: AsyncIterable<T>, signal: AbortSignal): AsyncIterable<T> {
    try {
      yield* messages;
    } catch (thrown) {
      throw translate(thrown, signal);
    }
  }
  return (next) => async (request) => {
    try {
      const response = await next(request);
      return response.stream
        ? { ...response, message: translateStream(response.message, request.signal) }
        : response;
    } catch (thrown) {
      throw translate(thrown, request.signal);
    }
  };
}
