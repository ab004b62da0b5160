import { Code, ConnectError } from "@connectrpc/connect";
import {
  Health as HealthService,
  HealthCheckResponse_ServingStatus as Status,
} from "../../gen/grpc/health/v1/health_pb.ts";
import { serviceEntry, type ServiceEntry } from "./service-table.ts";

/** Whether the service is serving, and grpc.health.v1.Health, which tells. */
export type Health = { readonly entry: ServiceEntry; set(serving: boolean): void };

/** Knows the named services and `""`, the server itself; none is serving until `set(true)`. */
export function createHealth(serviceNames: readonly string[]): Health {
  const names = ["", ...serviceNames];
  const waiting = new Set<() => void>();
  let status: Status = Status.NOT_SERVING;

  /** Settles with the next change, or rejects with the reason of the abort. */
  const changed = (signal: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      const settle = () => {
        waiting.delete(settle);
        signal.removeEventListener("abort", settle);
        if (signal.aborted) reject(signal.reason);
        else resolve();
      };
      waiting.add(settle);
      signal.addEventListener("abort", settle);
    });

  const entry = serviceEntry(HealthService, {
    check({ service }) {
      if (!names.includes(service))
        throw new ConnectError(`there is no service "${service}" here`, Code.NotFound);
      return { status };
    },
    list: () => ({ statuses: Object.fromEntries(names.map((name) => [name, { status }])) }),
    async *watch({ service }, { signal }) {
      let told: Status | undefined;
      for (;;) {
        signal.throwIfAborted();
        const current = names.includes(service) ? status : Status.SERVICE_UNKNOWN;
        // Nothing is awaited between this look and the wait; what changes during a yield is seen the next time round.
        if (current === told) await changed(signal);
        else yield { status: (told = current) };
      }
    },
  });

  return {
    entry,
    set(serving) {
      status = serving ? Status.SERVING : Status.NOT_SERVING;
      for (const wake of waiting) wake();
    },
  };
}
