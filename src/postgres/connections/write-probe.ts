import { PatientClient } from "./patient-client.ts";

/** Writes nothing that stays, and yet a record whose commit waits for whatever commits wait for. */
const probe = "begin; select pg_logical_emit_message(true, 'callsheet', ''); commit";

/** One commit, on its way to Postgres on a connection of its own. */
export type WriteProbe = Disposable & {
  /** Resolves once it has ended; rejects if it fails, or if it is disposed of before. */
  readonly ended: Promise<void>;
};

export function probeWrites(databaseUrl: string): WriteProbe {
  const client = new PatientClient({
    connectionString: databaseUrl,
    application_name: "callsheet",
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  });
  client.on("error", () => {});
  let isOver = false;
  const ended = (async () => {
    await client.connect();
    await client.query(probe);
    isOver = true;
  })();
  ended.catch(() => {});
  return {
    ended,
    [Symbol.dispose]() {
      if (isOver) client.end().catch(() => {});
      else client.connection.stream.destroy();
    },
  };
}
