import type { DescMessage } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";

const sentence = ({ typeName }: DescMessage) => `the request is not a valid ${typeName}`;

/** The answer to bytes that are not the message they should be. */
export const undecodable = (desc: DescMessage) => new ConnectError(sentence(desc), Code.InvalidArgument);

/**
 * Makes a Connect server give that answer too. It calls such bytes Internal and quotes its parser. It aborts the
 * context with the error before it writes it: the only place to reach it for all protocols and kinds of method. (The
 * signal does not tell of it where the call's deadline had passed before its bytes were there.)
 */
export function blameCaller(context: HandlerContext & { abort?(reason?: unknown): void }): void {
  const { abort, method } = context;
  context.abort = (reason) => {
    if (reason instanceof ConnectError && reason.rawMessage.startsWith("parse binary: "))
      Object.assign(reason, { code: Code.InvalidArgument, rawMessage: sentence(method.input) });
    abort?.(reason);
  };
}
