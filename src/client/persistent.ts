import { isMessage } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { ConnectError, type Transport } from "@connectrpc/connect";
import { LeaseContactsRequestSchema } from "../gen/callsheet/v1/contact_worker_service_pb.ts";
import { createPauses, pause } from "./pauses.ts";
import { mayComeAgain, passes } from "./repeats.ts";
import { withRequestIds } from "./request-ids.ts";

/** How long a call asks the service to wait before it answers. */
const waitMsOf = (request: unknown): number =>
  isMessage(request, LeaseContactsRequestSchema) && request.wait ? durationMs(request.wait) : 0;

/**
 * The transport, with every unary call under a deadline, and repeated within it, with the same request id, while what
 * keeps it from being done passes. A stream is begun once: only its reader knows where to go on.
 */
export function persistent(transport: Transport, options: { readonly timeoutMs: number }): Transport {
  return {
    stream: (...call) => transport.stream(...call),

    async unary(method, signal, timeoutMs, header, input, contextValues) {
      const request = withRequestIds(method.input, input);
      const allowedMs = timeoutMs ?? options.timeoutMs + waitMsOf(request);
      const endsAtMs = allowedMs > 0 ? performance.now() + allowedMs : Infinity;
      const nextPauseMs = createPauses();
      for (;;) {
        const leftMs =
          endsAtMs === Infinity ? undefined : Math.max(1, Math.round(endsAtMs - performance.now()));
        try {
          return await transport.unary(method, signal, leftMs, header, request, contextValues);
        } catch (thrown) {
          const error = ConnectError.from(thrown);
          const nextMs = nextPauseMs(error);
          const isInTime = performance.now() + nextMs < endsAtMs;
          if (!isInTime || signal?.aborted || !mayComeAgain(method) || !passes(error)) throw error;
          await pause(nextMs, signal);
        }
      }
    },
  };
}
