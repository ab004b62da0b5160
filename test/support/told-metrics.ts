import { type Metrics, addVitals, createMetrics } from "../../src/vitals/metrics.ts";

/** All metrics that a replica tells. */
export function toldMetrics(): Metrics {
  const metrics = createMetrics();
  addVitals(metrics, {
    isPostgresUp: () => true,
    isConnectable: () => true,
    connections: () => [],
    droppedLogLines: () => 0,
    census: () => Promise.reject(new Error("there is no database here")),
  });
  return metrics;
}
