import { calls } from "./calls.ts";
import { commandWorkloads } from "./commands.ts";
import { dispatching } from "./dispatch.ts";
import { logging } from "./events.ts";
import { exporting } from "./export.ts";
import { importing } from "./import.ts";
import { finding } from "./lists.ts";
import { opening } from "./openings.ts";
import { owning } from "./owners.ts";
import { paths } from "./paths.ts";
import { rescheduling } from "./rescheduling.ts";
import { suppressing } from "./suppression.ts";
import { watching } from "./watching.ts";
import { sending } from "./webhooks.ts";
import { atOnce, idle, manyAtOnce, spaced } from "./schedule.ts";
import type { Sizes, Workload } from "./workload.ts";

/** All of them, in the order in which they are run and shown. */
export const makeWorkloads = (sizes: Sizes): Workload[] =>
  [
    importing,
    exporting,
    dispatching,
    owning,
    logging,
    suppressing,
    finding,
    watching,
    sending,
    spaced,
    opening,
    atOnce,
    manyAtOnce,
    ...commandWorkloads,
    rescheduling,
    calls,
    paths,
    idle,
  ].map((make) => make(sizes));
