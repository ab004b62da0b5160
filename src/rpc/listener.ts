import { once } from "node:events";
import type { Server } from "node:net";
import type { HandlerContext, Interceptor } from "@connectrpc/connect";
import type { BytesInHand } from "./requests/bytes-in-hand.ts";
import type { LargeTurns } from "./requests/large-turns.ts";
import type { FindAddress } from "./gate/caller-address.ts";
import type { Refused } from "./gate/refusals.ts";
import type { Strangers } from "./gate/strangers.ts";
import type { ServiceTable } from "./services/service-table.ts";
import type { Certificates } from "./tls/certificates.ts";

/** No message may be larger, in or out, on either listener; most requests may be much smaller, by their method. */
export const maxMessageBytes = 16 * 1024 * 1024;

/** What the two listeners have in common. */
export type ListenerOptions = {
  host: string;
  /** 0 takes any free port. */
  port: number;
  /** A connection takes no more calls after so long; Infinity, as not given, for never. */
  connectionMaxAgeMs?: number;
  services: ServiceTable;
  /** These are outside of all else, and see what calls end with. */
  observe?: Interceptor[];
  /** The first one is the outermost. Each is applied once per call, streams included. */
  interceptors: Interceptor[];
  /**
   * Runs when the headers of a call are there and before its body is read. What it throws is the answer; what it sets
   * in `context.values` is there for interceptors and handlers.
   */
  gate: (context: HandlerContext) => void | Promise<void>;
  /** With these it speaks TLS, else in plain text. */
  certificates?: Certificates | undefined;
  /** Where a call comes from; if not given, from where its connection does. */
  findAddress?: FindAddress;
  /** Of both listeners together; without it a listener has its own. */
  bytesInHand?: BytesInHand;
  /** Likewise. */
  largeTurns?: LargeTurns;
  /** Of both listeners together; without it nobody is known to a listener. */
  strangers?: Strangers;
  /** Is told of calls that ended before the interceptors. */
  refused?: Refused;
};

export type Listener = {
  port: number;
  /**
   * Takes no more calls and waits at most `graceMs` for those in hand, then cuts them. Streams of answers are told at
   * once, by their signal, with a ConnectError `unavailable`; calls with a single answer are let finish.
   */
  stop(graceMs: number): Promise<void>;
};

/** Which setting a port is. */
export type PortVariable = "PORT" | "GRPC_PORT";

const reasons: Record<string, (variable: PortVariable) => string> = {
  EADDRINUSE: (variable) => `the port is in use; free it, or set ${variable} to another`,
  EACCES: (variable) => `this user may not use that port; set ${variable} to one from 1024 on`,
  EADDRNOTAVAIL: () => "this machine does not have that address; set HOST to one that it has",
  EAFNOSUPPORT: () => "this machine has no such addresses; set HOST to one that it has",
  ENOTFOUND: () => "there is no such host; set HOST to an address of this machine",
};

/** A host as it stands before a port: an IPv6 address in brackets. */
export const inUrl = (host: string): string => (host.includes(":") ? `[${host}]` : host);

/** Answers the port; what it throws says in one sentence where the service could not listen, and why. */
export async function listen(
  server: Server,
  { host, port }: Pick<ListenerOptions, "host" | "port">,
  variable: PortVariable,
): Promise<number> {
  try {
    await once(server.listen({ host, port }), "listening");
  } catch (cause) {
    const { code = "", message } = cause as NodeJS.ErrnoException;
    const reason = reasons[code]?.(variable) ?? message;
    throw new Error(`Cannot listen on ${inUrl(host)}:${port} (HOST, ${variable}): ${reason}.`, { cause });
  }
  const address = server.address();
  return address && typeof address === "object" ? address.port : port;
}
