import { expect, test } from "vitest";
import { twelveZones } from "../../bench/contacts.ts";
import { type Campaign, runDays } from "./days.ts";
import type { System } from "./system.ts";
import { useSystem } from "./use-system.ts";

/* `npm run test:days` drives a million contacts in twelve sets of time zones through three days. */

const isFull = process.env["DAYS"] === "full";
const campaign: Campaign = isFull
  ? {
      contacts: 1_000_000,
      zones: twelveZones,
      days: 3,
      pace: 1_000,
      rampUpMs: 60_000,
      limit: 500,
      limitsOfAll: [450, 600],
      killsToLoss: 4,
    }
  : {
      contacts: 3_000,
      zones: twelveZones.filter((_, i) => i % 4 === 0),
      days: 1,
      pace: 400,
      rampUpMs: 2_000,
      limit: 50,
      limitsOfAll: [40, 60],
      killsToLoss: 2,
    };
const print = (line: string) => void (isFull && process.stderr.write(`${line}\n`));

let system: System;
useSystem({ seed: 18 }, (started) => (system = started));

test(
  `${campaign.contacts} contacts in ${campaign.zones.length} sets of time zones are called within their hours and limits, at their pace, through ${campaign.days} days, whatever is killed`,
  async () => {
    const { latenessMs, counts, ...days } = await runDays(system, { ...campaign, print });
    print(`${JSON.stringify(days)}; late by ${latenessMs.join(" ")} ms`);
    expect(days).toMatchObject({ violations: [], tooFast: [], beyondLimit: [], beyondRamp: 0 });
    expect(days.reached).toEqual([campaign.limitsOfAll[0], campaign.limit]);
    expect(days.kills).toBeGreaterThan(0);
    expect(days.losses).toBeGreaterThan(0);
    expect(days.suppressed).toBeGreaterThan(0);
    expect(counts).toMatchObject({ total: campaign.contacts, pending: 0, waitingRetry: 0, dialing: 0 });
    expect(latenessMs.length).toBeGreaterThan(0);
    expect(latenessMs.filter((ms) => ms < 0)).toEqual([]);
    expect(system.badLogLines()).toEqual([]);
  },
  isFull ? 3_600_000 : 300_000,
);
