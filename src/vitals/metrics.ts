import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";
import type { Census } from "../postgres/census.ts";
import { coalesce } from "../timing/coalesce.ts";

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics() {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  return {
    registry,
    rpcs: new Counter({
      name: "callsheet_rpcs_total",
      help: "RPCs ended, by method and code (ok or a Connect code).",
      labelNames: ["method", "code"],
      registers,
    }),
    rpcSeconds: new Histogram({
      name: "callsheet_rpc_seconds",
      help: "Time from the decoded request to the answer, by method.",
      labelNames: ["method"],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    }),
    rateLimited: new Counter({
      name: "callsheet_rate_limited_total",
      help: "Calls refused, and leases not given with reports, because of a rate, by class; unknown_key for wrong keys.",
      labelNames: ["class"],
      registers,
    }),
    requestBytesInHand: new Gauge({
      name: "callsheet_request_bytes_in_hand",
      help: "Bytes of the requests that are being read or answered now.",
      registers,
    }),
    startLagSeconds: new Histogram({
      name: "callsheet_start_lag_seconds",
      help: "Time from a job's scheduled time to its start by the scheduler.",
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 60, 600, 3600],
      registers,
    }),
    schedulerFailures: new Counter({
      name: "callsheet_scheduler_failures_total",
      help: "Passes of the scheduler that failed, because Redis or Postgres did.",
      registers,
    }),
    fanOutContacts: new Counter({
      name: "callsheet_fan_out_contacts_total",
      help: "Contact numbers put on lists.",
      registers,
    }),
    fanOutSeconds: new Histogram({
      name: "callsheet_fan_out_seconds",
      help: "Time to put a job's contacts on its list, from the start of the work on it.",
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
      registers,
    }),
    fanOutFailures: new Counter({
      name: "callsheet_fan_out_failures_total",
      help: "Fan-outs that stopped on a failure of Redis or Postgres; the sweep goes on with them.",
      registers,
    }),
    outcomes: new Counter({
      name: "callsheet_outcomes_total",
      help: "Attempts ended, by outcome; one that is reported after it ran out counts as unknown, and again as reported.",
      labelNames: ["outcome"],
      registers,
    }),
    suppressedContacts: new Counter({
      name: "callsheet_suppressed_contacts_total",
      help: "Contacts that ended without a call because their phone is suppressed.",
      registers,
    }),
    importedContacts: new Counter({
      name: "callsheet_import_contacts_total",
      help: "Rows of files that were added to jobs, by result: accepted or rejected.",
      labelNames: ["result"],
      registers,
    }),
    importSeconds: new Histogram({
      name: "callsheet_import_seconds",
      help: "Time to add a file of contacts or phones, from its turn to its end; refused ones are in callsheet_rpcs_total.",
      buckets: [0.05, 0.25, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600],
      registers,
    }),
    importsInHand: new Gauge({
      name: "callsheet_imports_in_hand",
      help: "Files of contacts or phones that are being added or wait for their turn.",
      registers,
    }),
    exportSeconds: new Histogram({
      name: "callsheet_export_seconds",
      help: "Time in which a file of contacts was read to its end, from its turn.",
      buckets: [0.05, 0.25, 1, 2.5, 5, 10, 30, 60, 300, 600, 3600],
      registers,
    }),
    exportsInHand: new Gauge({
      name: "callsheet_exports_in_hand",
      help: "Files of contacts that are being read or wait for their turn.",
      registers,
    }),
    webhookDeliveries: new Counter({
      name: "callsheet_webhook_deliveries_total",
      help: "Requests to webhook endpoints that have ended, by result: delivered, or failed, which is most often tried again.",
      labelNames: ["result"],
      registers,
    }),
    webhookSeconds: new Histogram({
      name: "callsheet_webhook_seconds",
      help: "Time of a request to a webhook endpoint.",
      buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15],
      registers,
    }),
    sweepRepairs: new Counter({
      name: "callsheet_sweep_repairs_total",
      help: "What the sweep put right, by rule. A healthy system repairs nothing.",
      labelNames: ["rule"],
      registers,
    }),
    sweepFailures: new Counter({
      name: "callsheet_sweep_failures_total",
      help: "Passes of the sweep that failed, because Redis or Postgres did.",
      registers,
    }),
    openCalls: new Gauge({
      name: "callsheet_open_calls",
      help: "Streams and long polls that are open on this replica, by method.",
      labelNames: ["method"],
      registers,
    }),
    watchedJobs: new Gauge({
      name: "callsheet_watched_jobs",
      help: "Batch jobs that streams on this replica watch, counted for each stream.",
      registers,
    }),
    postgresBehindRedis: new Counter({
      name: "callsheet_postgres_behind_redis_total",
      help: "Jobs of which Redis knew more than Postgres: commits were lost, as by a failover to a standby that lacked them.",
      registers,
    }),
    deadlocks: new Counter({
      name: "callsheet_deadlocks_total",
      help: "Statements that Postgres ended because of a deadlock. Each is a bug.",
      registers,
    }),
    redisUp: new Gauge({
      name: "callsheet_redis_up",
      help: "1 while this replica is connected to Redis and can use it, otherwise 0.",
      registers,
    }),
    redisFit: new Gauge({
      name: "callsheet_redis_fit",
      help: "0 if Redis should not be used as it is: it may evict keys, refuses what is needed, or is another installation's.",
      registers,
    }),
    tlsFilesFit: withoutValue(
      new Gauge({
        name: "callsheet_tls_files_fit",
        help: "0 while the TLS files cannot be used as they are, and those read before stay in use; otherwise 1.",
        registers,
      }),
    ),
    tlsCertificateExpires: withoutValue(
      new Gauge({
        name: "callsheet_tls_certificate_expires_timestamp_seconds",
        help: "When the certificate in use expires, in seconds since 1970.",
        registers,
      }),
    ),
  };
}

/** A gauge that is 0 by itself says nothing until it is set. */
function withoutValue(gauge: Gauge): Gauge {
  gauge.remove();
  return gauge;
}

/** Says of the TLS files what was found at the last look. */
export function noteTls(metrics: Metrics, { expiresAt, isFit }: { expiresAt: Date; isFit: boolean }): void {
  metrics.tlsFilesFit.set(isFit ? 1 : 0);
  metrics.tlsCertificateExpires.set(expiresAt.getTime() / 1_000);
}

/**
 * Whether Postgres answers and ends commits, whether it can be connected to anew, how its connections are used, and how
 * many log lines nobody took.
 */
export type Vitals = {
  readonly isPostgresUp: () => boolean;
  readonly isConnectable: () => boolean;
  readonly connections: () => readonly { pool: string; taken: number; waiting: number }[];
  readonly droppedLogLines: () => number;
  readonly census: () => Promise<Census>;
};

/** What is read from Postgres when somebody asks, the same on every replica. */
const counted: readonly {
  name: string;
  help: string;
  labelNames?: readonly "status"[];
  values: (census: Census) => readonly { status?: string; value: number }[];
}[] = [
  {
    name: "callsheet_jobs",
    help: "Batch jobs that wait for their time and that run, by status. Of the whole installation, as the next five.",
    labelNames: ["status"],
    values: ({ scheduledJobs, runningJobs }) => [
      { status: "scheduled", value: scheduledJobs },
      { status: "running", value: runningJobs },
    ],
  },
  {
    name: "callsheet_overdue_starts",
    help: "Scheduled jobs whose start is more than a second late.",
    values: ({ overdueStarts: value }) => [{ value }],
  },
  {
    name: "callsheet_live_leases",
    help: "Contacts that workers hold.",
    values: ({ liveLeases: value }) => [{ value }],
  },
  {
    name: "callsheet_contacts_waiting",
    help: "Contacts of running jobs that wait for their first call, or for the next one.",
    values: ({ waitingContacts: value }) => [{ value }],
  },
  {
    name: "callsheet_webhook_endpoints",
    help: "Webhook endpoints, by status: enabled, of which some may be failing, and disabled.",
    labelNames: ["status"],
    values: ({ enabledEndpoints, failingEndpoints, disabledEndpoints }) => [
      { status: "enabled", value: enabledEndpoints },
      { status: "failing", value: failingEndpoints },
      { status: "disabled", value: disabledEndpoints },
    ],
  },
  {
    name: "callsheet_webhook_events_behind",
    help: "Events that enabled webhook endpoints have not come to yet, of all of them together.",
    values: ({ eventsBehind: value }) => [{ value }],
  },
];

/** Adds what is looked up when somebody asks for the metrics. */
export function addVitals({ registry }: Metrics, vitals: Vitals): void {
  // They register themselves nowhere else.
  const registers: [] = [];
  const postgresUp = new Gauge({
    name: "callsheet_postgres_up",
    help: "1 while Postgres answers and ends commits, otherwise 0.",
    registers,
    collect() {
      this.set(vitals.isPostgresUp() ? 1 : 0);
    },
  });
  const connectable = new Gauge({
    name: "callsheet_postgres_connectable",
    help: "0 while no new connection to Postgres can be made and used; otherwise 1.",
    registers,
    collect() {
      this.set(vitals.isConnectable() ? 1 : 0);
    },
  });
  const connections = new Gauge({
    name: "callsheet_postgres_connections",
    help: "Connections to Postgres by pool: taken, and callers that wait for one.",
    labelNames: ["pool", "state"],
    registers,
    collect() {
      for (const { pool, taken, waiting } of vitals.connections()) {
        this.set({ pool, state: "taken" }, taken);
        this.set({ pool, state: "waiting" }, waiting);
      }
    },
  });
  const logLinesDropped = new Counter({
    name: "callsheet_log_lines_dropped_total",
    help: "Log lines dropped because nobody read them.",
    registers,
    collect() {
      this.reset();
      this.inc(vitals.droppedLogLines());
    },
  });
  for (const metric of [postgresUp, connectable, connections, logLinesDropped])
    registry.registerMetric(metric);

  // One look for all of them, and for all who ask meanwhile.
  const look = coalesce<undefined, Census>(async (asked) => {
    const census = await vitals.census();
    return asked.map(() => census);
  }, 1_000);
  for (const { name, help, labelNames = [], values } of counted) {
    const gauge = new Gauge({
      name,
      help,
      labelNames: [...labelNames],
      registers,
      async collect() {
        // While Postgres is away nothing is known, which is not 0.
        if (labelNames.length > 0) this.reset();
        else this.remove();
        const census = await look(undefined).catch(() => undefined);
        for (const { value, ...labels } of census === undefined ? [] : values(census))
          this.set(labels, value);
      },
    });
    registry.registerMetric(gauge);
  }
}
