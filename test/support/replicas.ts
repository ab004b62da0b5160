import { afterAll, beforeAll, beforeEach } from "vitest";
import { makeCaller } from "./organization.ts";
import { type Parts, startParts } from "./parts.ts";

/** The same parts for a caller of an organization that has nothing yet. */
export const forNewOrganization = async (parts: Parts): Promise<Parts> => ({
  ...parts,
  caller: await makeCaller(parts),
});

/** Gives each test of a file the parts that its tests share, for a caller of an organization of its own. */
export function inNewOrganizations(take: (parts: Parts) => void): void {
  let shared: Parts;
  beforeAll(async () => {
    shared = await startParts();
  });
  afterAll(() => shared[Symbol.asyncDispose]());
  beforeEach(async () => take(await forNewOrganization(shared)));
}

/** Gives the tests of a file two replicas that they share, on one database and one Redis. */
export function onTwoReplicas(
  take: (here: Parts, there: Parts) => void,
  [chunkSize, otherChunkSize]: readonly [number, number] = [5_000, 5_000],
): void {
  const stack = new AsyncDisposableStack();
  beforeAll(async () => {
    const here = stack.use(await startParts({ chunkSize }));
    take(here, stack.use(await startParts({ beside: here, chunkSize: otherChunkSize })));
  });
  afterAll(() => stack.disposeAsync());
}

/** Gives each test of a file the same, for a caller of an organization of its own. */
export function onTwoReplicasInNewOrganizations(take: (here: Parts, there: Parts) => void): void {
  let shared: readonly [Parts, Parts];
  onTwoReplicas((...both) => (shared = both));
  beforeEach(async () => {
    const here = await forNewOrganization(shared[0]);
    take(here, { ...shared[1], caller: here.caller });
  });
}
