import { MethodOptions_IdempotencyLevel, durationMs } from "@bufbuild/protobuf/wkt";
import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.ts";

/** Commands without a request id of their own that do nothing when they come again. */
const harmless: ReadonlySet<string> = new Set([
  "callsheet.v1.ContactWorkerService.ExtendLeases",
  "callsheet.v1.ContactWorkerService.ReleaseLeases",
  "callsheet.v1.ContactWorkerService.ReportOutcomes",
]);

/** Whether a call that may have been done already may come again: it only reads, is harmless, or has a request id. */
export const mayComeAgain = (method: DescMethod): boolean =>
  method.methodKind === "unary" &&
  (method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS ||
    harmless.has(`${method.parent.typeName}.${method.name}`) ||
    method.input.field["requestId"] !== undefined);

/** What this side says of a connection that broke, over HTTP/1.1 and HTTP/2, where the service has said nothing. */
const broken: ReadonlySet<Code> = new Set([Code.Aborted, Code.Canceled]);

/** Such as `job_not_found`, as proto/README.md lists them; undefined for what did not come from the service. */
export const codeOf = (error: unknown): string | undefined =>
  ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.metadata["code"];

/**
 * Whether this passes: the service or its Postgres is away, the connection broke before an answer came, or the service
 * says when to come again. Every other refusal stays what it is.
 */
export function passes(error: ConnectError): boolean {
  if (error.code === Code.Unavailable) return true;
  if (error.code === Code.ResourceExhausted) return askedPauseMs(error) !== undefined;
  return broken.has(error.code) && codeOf(error) === undefined;
}

/** How long the service asks to wait before the call comes again. */
export function askedPauseMs(error: ConnectError): number | undefined {
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return delay && durationMs(delay);
}
