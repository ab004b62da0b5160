import { afterAll, beforeAll } from "vitest";
import { type System, startSystem } from "./system.ts";

/** A busy machine takes its time for five processes. */
const startTimeoutMs = 180_000;

/** A system for the tests of a file, given to them before the first one, and gone after the last, whatever happened. */
export function useSystem(options: Parameters<typeof startSystem>[0], give: (system: System) => void): void {
  let starting: Promise<System> | undefined;
  beforeAll(async () => {
    starting = startSystem(options);
    give(await starting);
  }, startTimeoutMs);
  afterAll(async () => {
    const system = await starting?.catch(() => undefined);
    await system?.[Symbol.asyncDispose]();
  }, startTimeoutMs);
}
