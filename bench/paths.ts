// Start and reschedule over the published paths, beside the same as Connect's JSON, from one client on one service in
// turn.
import { Agent, request } from "node:http";
import { callsPerSecond, makeJobs } from "./calls.ts";
import { type FreshService, startFreshService } from "./fresh-service.ts";
import type { Entrant, Sizes, Workload } from "./workload.ts";

type Ask = { readonly method: string; readonly path: string; readonly body: string };
type Make = (batchJobId: string) => Ask;

const scheduledStartTime = "2035-01-01T00:00:00Z";
const service = "/callsheet.v1.BatchJobService";
const rpc = (name: string, body: object): Ask => ({
  method: "POST",
  path: `${service}/${name}`,
  body: JSON.stringify(body),
});

const asks: Record<string, Make> = {
  "start, by its path": (id) => ({ method: "POST", path: `/batch/jobs/${id}/start`, body: "" }),
  "start, as Connect's JSON": (batchJobId) => rpc("StartBatchJob", { batchJobId }),
  "reschedule, by its path": (id) => ({
    method: "PATCH",
    path: `/batch/jobs/${id}/reschedule?scheduledStartTime=${scheduledStartTime}`,
    body: "",
  }),
  "reschedule, as Connect's JSON": (batchJobId) =>
    rpc("RescheduleBatchJob", { batchJobId, scheduledStartTime }),
};

/** Sends one request over a connection that is kept; rejects unless it is answered with 200. */
function send(agent: Agent, { httpUrl, apiKey }: FreshService, { method, path, body }: Ask): Promise<void> {
  const headers = {
    authorization: `Bearer ${apiKey}`,
    "content-length": String(Buffer.byteLength(body)),
    ...(body !== "" && { "content-type": "application/json" }),
  };
  return new Promise((resolve, reject) => {
    const asking = request(`${httpUrl}${path}`, { agent, method, headers }, (response) => {
      response.resume();
      response.on("error", reject);
      response.on("end", () =>
        response.statusCode === 200 ? resolve() : reject(new Error(`${path}: ${response.statusCode}`)),
      );
    });
    asking.on("error", reject);
    asking.end(body);
  });
}

const entrant = (name: string, make: Make, seconds: number): Entrant => ({
  name,
  role: "callsheet",
  async run() {
    await using fresh = await startFreshService();
    const agent = new Agent({ keepAlive: true, maxSockets: 64 });
    const ids = await makeJobs(fresh, 5_000 * (seconds + 1));
    let next = 0;
    const call = () => send(agent, fresh, make(ids[next++ % ids.length] ?? ""));
    // Connections are made, and what runs often is compiled.
    await callsPerSecond(call, 2_000, 1);
    const most = name.startsWith("start") ? ids.length - next : Infinity;
    const sample = await callsPerSecond(call, most, seconds);
    agent.destroy();
    return sample;
  },
});

export const paths = ({ seconds }: Sizes): Workload => ({
  name: "paths",
  title: "Calls a second over HTTP, 64 in flight: the published paths, and the same as Connect's JSON",
  unit: "calls/s",
  better: "higher",
  note: "One client process on the same machine, over 64 connections.",
  entrants: Object.entries(asks).map(([name, make]) => entrant(name, make, seconds)),
});
