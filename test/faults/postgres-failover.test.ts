import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { runCampaign } from "./campaign.ts";
import { expectNoneStuck, failures, startOnPair } from "./failovers.ts";
import { createInsist } from "./insist.ts";
import { scheduleJobs } from "./jobs.ts";
import { sized } from "./scale.ts";
import { settled } from "./system.ts";
import { startWorkers } from "./workers.ts";

const campaigns = sized(3, 60);

test(
  "a failover to a synchronous standby: nothing that was answered is lost, nobody is called twice, and a deposed primary disturbs nobody for long",
  { timeout: 180_000 },
  async () => {
    await using on = await startOnPair("synchronous");
    const { system, pair } = on;
    const { history } = system;
    const insist = createInsist(system);
    {
      await using workers = startWorkers(system, insist, { count: 4 });
      const running = Promise.all(
        Array.from({ length: campaigns }, (_, i) =>
          runCampaign(system, insist, { random: system.randomOf(`campaign ${i}`) }),
        ),
      );
      await scheduleJobs(insist, 8, { fromMs: 3_000, toMs: 4_000 });
      await eventually(() => expect(workers.calls()).toBeGreaterThan(20));
      await pair.failOver();
      await running;
      await expectNoneStuck(system, 60_000);

      await pair.withDeposed(async () => {
        for (const replica of system.replicas) await replica.postgres.mend();
        await eventually(async () => {
          const ready = system.replicas.map(async ({ httpUrl }) => (await fetch(`${httpUrl}/readyz`)).status);
          expect(await Promise.all(ready)).toEqual([503, 503]);
        }, 20_000);
      });
      // Nobody broke the connections that were made to it meanwhile.
      await runCampaign(system, insist, { random: system.randomOf("afterwards") });
    }
    expect(history.tried.filter(({ end }) => failures.has(end))).toEqual([]);
    expect(await settled(system)).toEqual([]);
    expect(system.badLogLines()).toEqual([]);
  },
);
