import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "vitest";
import { BadRequestSchema, ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";

/** How a call was refused, as a client sees it. */
export async function refusalOf(call: Promise<unknown>) {
  const error = await call.then(
    () => expect.fail("the call was answered"),
    (thrown: unknown) => ConnectError.from(thrown),
  );
  return {
    code: Code[error.code],
    message: error.rawMessage,
    reason: error.metadata.get("x-reason"),
    bytes: error.metadata.get("x-reason-bin"),
    info: error
      .findDetails(ErrorInfoSchema)
      .map(({ reason, domain, metadata }) => ({ reason, domain, metadata })),
    fields: error
      .findDetails(BadRequestSchema)
      .flatMap(({ fieldViolations }) =>
        fieldViolations.map(({ field, description }) => ({ field, description })),
      ),
  };
}

/** Every message of a stream. */
export async function all<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const message of messages) found.push(message);
  return found;
}

/** A stream of notes. */
export async function* notes(...texts: string[]) {
  for (const text of texts) yield { text };
}
