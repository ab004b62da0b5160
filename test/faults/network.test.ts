import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type Harm, harms } from "../support/servers/proxy.ts";
import { findCallSites, harmEach } from "./call-sites.ts";
import { startLoad } from "./load.ts";
import { sized } from "./scale.ts";
import { type System, settled } from "./system.ts";
import { useSystem } from "./use-system.ts";

let system: System;
useSystem({ replicas: 2, seed: 8 }, (started) => (system = started));

function harmedReplica() {
  const [replica] = system.replicas;
  if (replica === undefined) throw new Error("there is no replica");
  return replica;
}

describe.each(["postgres", "redis"] as const)("each call site of %s in turn", (kind) => {
  test.each(sized<Harm[]>(["drop the reply"], [...harms]))(
    "while the network may %s, nothing is lost and nothing is done twice",
    async (harm) => {
      const replica = harmedReplica();
      const proxy = replica[kind];
      {
        await using load = startLoad(system, { campaigns: 6, workers: 4 });
        const sites = await findCallSites(kind, proxy, () =>
          eventually(() => expect(load.finished()).toBeGreaterThan(sized(8, 30)), 90_000),
        );
        expect(sites.length).toBeGreaterThan({ postgres: 20, redis: 8 }[kind]);
        const missed = await harmEach(proxy, sites, harm, sized(40_000, 120_000));
        await proxy.mend();
        process.stderr.write(
          `${harm}: ${sites.length} call sites of ${kind}, without: ${missed.join("; ")}\n`,
        );
        // What runs only where two replicas want the same may not come again in time.
        expect(missed.length).toBeLessThanOrEqual(sites.length / 10);
        const before = load.finished();
        await eventually(() => expect(load.finished()).toBeGreaterThan(before + 3), 30_000);
      }
      expect(await settled(system)).toEqual([]);
      expect(system.badLogLines()).toEqual([]);
    },
    sized(300_000, 900_000),
  );
});

test.each(sized(["redis"] as const, ["postgres", "redis"] as const))(
  "a slow and then a silent way from one replica to %s does no harm",
  async (kind) => {
    const proxy = harmedReplica()[kind];
    {
      await using load = startLoad(system, { campaigns: 6, workers: 4 });
      for (const ms of [20, 300]) {
        proxy.delay(ms);
        await delay(sized(1_000, 10_000));
      }
      proxy.freeze();
      await delay(sized(3_000, 20_000));
      await proxy.mend();
      const before = load.finished();
      await eventually(() => expect(load.finished()).toBeGreaterThan(before + 3), 30_000);
    }
    expect(await settled(system)).toEqual([]);
    expect(system.badLogLines()).toEqual([]);
  },
  180_000,
);
