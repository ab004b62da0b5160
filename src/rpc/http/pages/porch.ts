import type { IncomingMessage, ServerResponse } from "node:http";
import { withoutBasePath } from "./base-path.ts";
import { createCors } from "./cors.ts";
import { answerPage, type Pages } from "./pages.ts";
import { createHttpServer } from "../server.ts";
import { listen, type ListenerOptions } from "../../listener.ts";

/** Answers on the HTTP port until the service can. */
export type Porch = {
  /** What the service is waiting for, in a sentence; undefined once it goes on. */
  waitsFor(sentence: string | undefined): void;
  /** Lets go of the port. */
  close(): Promise<void>;
};

const timeouts = { requestTimeout: 300_000, keepAliveTimeout: 5_000, connectionMaxAgeMs: Infinity };

/**
 * Listens where the service will: `/healthz` says that the process lives, `/readyz` what it is waiting for, and every
 * call is told to come again, which Connect and gRPC-Web clients know as `unavailable`. A port that nobody knows yet,
 * 0, is left alone.
 */
export async function openPorch({
  host,
  port,
  certificates,
  basePath = "",
  corsOrigins = [],
}: Pick<ListenerOptions, "host" | "port" | "certificates"> & {
  basePath?: string;
  corsOrigins?: readonly string[];
}): Promise<Porch> {
  let sentence: string | undefined;
  const pages: Pages = {
    "/healthz": () => ({ body: "ok\n" }),
    "/readyz": () => ({ status: 503, body: `not ready: ${sentence ?? "Callsheet is starting."}\n` }),
  };
  const withinBase = withoutBasePath(basePath);
  const cors = createCors(corsOrigins);
  const { server, closeAllConnections } = createHttpServer({ certificates, ...timeouts }, answer);
  function answer(request: IncomingMessage, response: ServerResponse) {
    // So that nothing is left when the port changes hands.
    response.setHeader("connection", "close");
    response.setHeader("cache-control", "no-store");
    request.resume();
    const page = pages[withinBase(request.url ?? "").split("?", 1)[0] ?? ""];
    if (page) return void answerPage(page, request, response);
    // A page of another origin is to be told the same, and not that there is no network.
    cors.mark(request, response);
    if (cors.isPreflight(request)) return cors.answerPreflight(response);
    response.setHeader("retry-after", "1");
    // As Connect writes an error, and as the published paths do; others go by the status.
    const message = "Callsheet is starting; try again.";
    const published = { success: false, error: message, detail: message };
    response.writeHead(503, { "content-type": "application/json" });
    response.end(JSON.stringify({ code: "unavailable", message, ...published }));
  }
  if (port !== 0) await listen(server, { host, port }, "PORT");
  return {
    waitsFor: (given) => void (sentence = given),
    async close() {
      if (!server.listening) return;
      const closed = new Promise((resolve) => server.close(resolve));
      closeAllConnections();
      await closed;
    },
  };
}
