import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const gc: unknown = runInNewContext("gc");

/** Frees what nobody holds any more. */
export function collectGarbage(): void {
  if (typeof gc !== "function") throw new Error("the engine does not collect garbage when it is asked to");
  gc();
}
