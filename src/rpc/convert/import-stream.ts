import { BatchJobError } from "../../domain/batch-job-error.ts";

/** A message of a stream that brings a file: its header, bytes of the file, or its end. */
type Message<Header> = {
  readonly part:
    | { readonly case: "header"; readonly value: Header }
    | { readonly case: "csv"; readonly value: Uint8Array }
    | { readonly case: "end"; readonly value: { readonly totalBytes: bigint } }
    | { readonly case: undefined; readonly value?: undefined };
};

const refuse = (field: string, message: string): BatchJobError =>
  new BatchJobError("invalid_argument", message, { field });

/** Takes the stream apart: its header, then the file, which throws unless it came to its end. */
export async function readImport<Header>(
  parts: AsyncIterable<Message<Header>>,
): Promise<{ header: Header; file: AsyncIterable<Uint8Array> }> {
  const messages = parts[Symbol.asyncIterator]();
  const first = await messages.next();
  if (first.done === true || first.value.part.case !== "header") {
    throw refuse("header", "The first message of the stream must be its header.");
  }
  return { header: first.value.part.value, file: { [Symbol.asyncIterator]: () => fileOf(messages) } };
}

async function* fileOf(messages: AsyncIterator<Message<unknown>>): AsyncGenerator<Uint8Array> {
  let total = 0;
  try {
    for (;;) {
      const { done, value } = await messages.next();
      if (done === true) throw refuse("end", "The file broke off: its end did not come. Send it again.");
      const { part } = value;
      if (part.case === "header") {
        throw refuse("header", "The stream has two headers; each file needs a stream of its own.");
      }
      if (part.case === "csv") {
        total += part.value.length;
        yield part.value;
      }
      if (part.case === "end") {
        if (BigInt(total) === part.value.totalBytes) break;
        throw refuse(
          "end.total_bytes",
          `The file broke off: ${total} bytes of it came, and it has ${part.value.totalBytes}. Send it again.`,
        );
      }
    }
    // The stream must end here; whether it was cut is known only then.
    const { done } = await messages.next();
    if (done !== true) throw refuse("end", "The end must be the last message of the stream.");
  } finally {
    await messages.return?.();
  }
}
