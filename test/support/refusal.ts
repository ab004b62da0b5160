import { Code, ConnectError } from "@connectrpc/connect";
import { BatchJobError } from "../../src/domain/batch-job-error.ts";
import { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";

export type Refusal = {
  /** The Connect code in its own spelling, for what came over the wire. */
  code?: string;
  reason: string;
  message: string;
  metadata: Record<string, string>;
};

/** The refusal that a call ends with; fails if it succeeds, or throws anything else. */
export async function refusal(call: Promise<unknown> | (() => unknown)): Promise<Refusal> {
  try {
    await (typeof call === "function" ? call() : call);
  } catch (error) {
    return describeRefusal(error);
  }
  throw new Error("the call was not refused");
}

export function describeRefusal(error: unknown): Refusal {
  if (error instanceof BatchJobError) {
    return { reason: error.reason, message: error.message, metadata: { ...error.metadata } };
  }
  if (error instanceof ConnectError) {
    const infos = error.findDetails(ErrorInfoSchema);
    const [info] = infos;
    if (info === undefined || infos.length > 1) throw error;
    const { code: reason = "", ...metadata } = info.metadata;
    return { code: Code[error.code], reason, message: error.rawMessage, metadata };
  }
  throw error;
}
