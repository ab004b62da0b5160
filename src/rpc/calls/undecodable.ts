import type { DescMessage } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";

const sentence = ({ typeName }: DescMessage) => `the request is not a valid ${typeName}`;

/** The answer to bytes that are not the message they should be. */
export const undecodable = (desc: DescMessage) => new ConnectError(sentence(desc), Code.InvalidArgument);

/**
 * Makes a Connect server give that answer too. It calls such bytes Internal and quotes its parser; the context, which
 * is aborted with the error before that is written, is the only place to reach it for all protocols and kinds of
 * method.
 */
export function blameCaller({ method, signal }: HandlerContext): void {
  const correct = () => {
    const error: unknown = signal.reason;
    if (!(error instanceof ConnectError) || !error.rawMessage.startsWith("parse binary: ")) return;
    Object.assign(error, { code: Code.InvalidArgument, rawMessage: sentence(method.input) });
  };
  signal.addEventListener("abort", correct, { once: true });
}
