import { eventually } from "../eventually.ts";
import type { OwnServer } from "./own-servers.ts";
import { type PostgresServer, startPostgresServer } from "./postgres-servers.ts";
import { startProxy } from "./proxy.ts";
import { awaitStandby } from "./synchronous.ts";

/** A Postgres with a standby that streams from it. Its URL leads to whichever of them has the address. */
export type PostgresPair = OwnServer & {
  readonly primary: PostgresServer;
  readonly standby: PostgresServer;
  /** Resolves when the standby has all that there is now. */
  standbyHasAll(): Promise<void>;
  /** From now on the standby hears of nothing: what comes is what a failover will lose. */
  cutReplication(): Promise<void>;
  /** The primary dies, the standby takes its place, and the address moves. */
  failOver(): Promise<void>;
  /** The old primary is there again, as a standby, and has the address as long as the work lasts. */
  withDeposed(work: () => Promise<void>): Promise<void>;
};

const notHere = () => Promise.reject(new Error("this is done to one of the two"));

/** With a `synchronous` standby no commit ends before it has heard of it. */
export async function startPostgresPair(
  kind: "synchronous" | "asynchronous",
  settings: Record<string, string> = {},
): Promise<PostgresPair> {
  await using stack = new AsyncDisposableStack();
  const primary = stack.use(await startPostgresServer({ settings }));
  const link = stack.use(await startProxy(primary.url));
  await primary.stop();
  const standby = stack.use(
    await startPostgresServer({
      copyOf: primary,
      isStandby: "standby",
      settings: {
        ...settings,
        primary_conninfo: `host=127.0.0.1 port=${new URL(link.url).port} user=callsheet`,
        wal_retrieve_retry_interval: "200ms",
      },
    }),
  );
  await primary.start();
  const streams = () =>
    eventually(async () => {
      const rows = await primary.query("select state from pg_stat_replication");
      if (rows[0]?.["state"] !== "streaming") throw new Error("the standby does not stream yet");
    }, 30_000);
  await streams();
  if (kind === "synchronous") {
    await awaitStandby(primary.query, "*");
    await eventually(async () => {
      const rows = await primary.query("select sync_state from pg_stat_replication");
      if (rows[0]?.["sync_state"] !== "sync") throw new Error("the standby is not waited for yet");
    });
  }
  let holder = primary;
  const running = stack.move();
  return {
    primary,
    standby,
    url: () => holder.url,
    async standbyHasAll() {
      const [now] = await primary.query("select pg_current_wal_flush_lsn()::text as lsn");
      await eventually(async () => {
        const [row] = await standby.query(
          `select pg_last_wal_replay_lsn() >= '${String(now?.["lsn"])}'::pg_lsn as has`,
        );
        if (row?.["has"] !== true) throw new Error("not yet");
      });
    },
    cutReplication: () => link.cut(),
    async failOver() {
      await primary.kill();
      await standby.query("select pg_promote()");
      holder = standby;
    },
    async withDeposed(work) {
      primary.write("standby.signal", "");
      await primary.start();
      holder = primary;
      await work();
      // The address moves, and nobody tells those who are connected to where it was.
      holder = standby;
    },
    kill: notHere,
    start: notHere,
    freeze: notHere,
    thaw: () => {},
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
