import type { Client } from "pg";
import { LateClient } from "./late-client.ts";

/** A connection beside the pools, for a question or two; so long may each of them take, and its making. */
export function createLoneClient(url: string, patienceMs: number): Client {
  const client = new LateClient({
    connectionString: url,
    application_name: "callsheet",
    connectionTimeoutMillis: patienceMs,
    query_timeout: patienceMs,
  });
  // What is asked of it fails then; without a listener the process would.
  client.on("error", () => {});
  return client;
}
