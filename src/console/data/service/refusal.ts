import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";

/** Why a call did not succeed, in the service's words where it answered. */
export type Refusal = {
  /** The code of the table of errors in proto/README.md; empty if the service did not answer with one. */
  readonly reason: string;
  readonly message: string;
  /** The job that it is about; empty if it is about none. */
  readonly batchJobId: string;
  /** Which field of the request is wrong; empty if it is none. */
  readonly field: string;
  /** True if the service, or its database, did not answer. */
  readonly isAway: boolean;
  /** True if the same call may succeed in a moment: whoever waits for it tries again. */
  readonly isPassing: boolean;
};

const noAnswer: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.DeadlineExceeded,
  Code.Canceled,
  Code.Unknown,
]);

export function refusalOf(thrown: unknown): Refusal {
  const error = ConnectError.from(thrown);
  const metadata = error.findDetails(ErrorInfoSchema)[0]?.metadata ?? {};
  const { code: reason = "", batchJobId = "", field = "" } = metadata;
  if (reason === "" && noAnswer.has(error.code)) {
    const message = "The service does not answer.";
    return { reason, message, batchJobId, field, isAway: true, isPassing: true };
  }
  const message =
    error.code === Code.Internal
      ? "The service failed unexpectedly. Its log says why."
      : error.rawMessage || "The service refused this.";
  const isAway = reason === "unavailable";
  return { reason, message, batchJobId, field, isAway, isPassing: isAway || reason === "rate_limited" };
}
