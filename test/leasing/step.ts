import * as fc from "fast-check";
import { expect } from "vitest";
import type { Lease } from "../../src/leasing/lease-round.ts";
import type { Parts } from "../support/parts.ts";
import { expectAsModelled } from "./invariants.ts";
import { lease } from "./leases.ts";
import type { Model, ModelJob } from "./model.ts";

/** Two replicas, with the caller of the organization that the model is of. */
export type Real = { readonly replicas: readonly [Parts, Parts] };
export type Step = fc.AsyncCommand<Model, Real>;

const at = <T>(items: readonly T[], n: number): T => {
  const item = items[n % items.length];
  if (item === undefined) throw new Error("there is nothing to choose from");
  return item;
};

/** A step with random arguments, after which everything is compared. */
export function step<A>(
  name: string,
  args: fc.Arbitrary<A>,
  run: (model: Model, real: Real, args: A) => Promise<void>,
  check: (model: Model) => boolean = () => true,
): fc.Arbitrary<Step> {
  return args.map((chosen) => ({
    check,
    async run(model, real) {
      await run(model, real, chosen);
      await expectAsModelled(real.replicas[0], model);
    },
    toString: () => `${name}(${fc.stringify(chosen)})`,
  }));
}

/** A step that is taken so many times as often as one that stands alone. */
export const times = (weight: number, taken: fc.Arbitrary<Step>): fc.Arbitrary<Step>[] =>
  Array.from({ length: weight }, () => taken);

export const hasJobs = (model: Model): boolean => model.jobs.size > 0;
export const hasLeases = (model: Model): boolean => model.leaseIds().length > 0;
export const jobAt = (model: Model, n: number): ModelJob => at([...model.jobs.values()], n);

/** Three of four choices fall on leases that are live, if there are any. */
export function leaseAt(model: Model, n: number): string {
  const live = model.liveLeaseIds();
  return n % 4 === 3 || live.length === 0 ? at(model.leaseIds(), n >> 2) : at(live, n >> 2);
}

export const which = fc.nat(1_000);
export const picks = fc.array(which, { minLength: 1, maxLength: 3 });
export const replica = fc.constantFrom(0 as const, 1 as const);
export const worker = fc.record({ replica, maxContacts: fc.integer({ min: 1, max: 4 }) });

export async function leaseAll(
  { replicas }: Real,
  asking: readonly { replica: 0 | 1; maxContacts: number }[],
  jobIds: string[] = [],
): Promise<Lease[]> {
  const given = await Promise.all(
    asking.map((asked) => lease(replicas[asked.replica], { maxContacts: asked.maxContacts, jobIds })),
  );
  for (const [i, leases] of given.entries()) {
    expect(leases.length).toBeLessThanOrEqual(asking[i]?.maxContacts ?? 0);
  }
  return given.flat();
}
