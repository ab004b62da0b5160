import { expect, test } from "vitest";
import { twelveZones } from "../../bench/contacts.ts";
import { runDays } from "./days.ts";

/* `npm run test:days` drives a million contacts in twelve sets of time zones through three days. */

const isFull = process.env["DAYS"] === "full";
const campaign = isFull
  ? { contacts: 1_000_000, zones: twelveZones, days: 3, pace: 1_000, rampUpMs: 60_000 }
  : {
      contacts: 6_000,
      zones: twelveZones.filter((_, i) => i % 4 === 0),
      days: 1,
      pace: 400,
      rampUpMs: 3_000,
    };
const print = (line: string) => void (isFull && process.stderr.write(`${line}\n`));

test(
  `${campaign.contacts} contacts in ${campaign.zones.length} sets of time zones are called within their hours, at their pace, through ${campaign.days} days`,
  async () => {
    const { latenessMs, calls, counts, ...broken } = await runDays({ ...campaign, print });
    print(`${calls} calls; late by ${latenessMs.join(" ")} ms`);
    expect(broken).toEqual({
      outside: 0,
      twiceAtOnce: 0,
      suppressedLate: 0,
      beyondRamp: 0,
      tooFast: [],
      mostAtOnce: expect.any(Number),
    });
    expect(broken.mostAtOnce).toBeLessThanOrEqual(450);
    expect(counts).toMatchObject({ pending: 0, waiting_retry: 0, dialing: 0 });
    expect(Object.values(counts).reduce((sum, count) => sum + count, 0)).toBe(campaign.contacts);
    expect(latenessMs.length).toBeGreaterThan(0);
    expect(latenessMs.filter((ms) => ms < 0)).toEqual([]);
  },
  isFull ? 3_600_000 : 180_000,
);
