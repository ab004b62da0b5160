import { describe, expect, test } from "vitest";
import {
  type Command,
  type JobStatus,
  allowedCommands,
  allowedStatuses,
  checkAllowed,
  commands,
  jobStatuses,
  stateTable,
} from "../../src/domain/jobs/batch-job.ts";
import { refusal } from "../support/refusal.ts";

const columns = ["pending", "scheduled", "running", "paused", "completed", "failed", "cancelled"] as const;

/** What is promised, in the words of the contract; one row per command, one column per status. */
const promised: Record<Command, string> = {
  start: "running running already_running invalid_status invalid_status invalid_status invalid_status",
  reschedule:
    "scheduled scheduled invalid_status invalid_status invalid_status invalid_status invalid_status",
  pause: "invalid_status invalid_status paused invalid_status invalid_status invalid_status invalid_status",
  resume: "invalid_status invalid_status invalid_status running invalid_status invalid_status invalid_status",
  cancel: "cancelled cancelled cancelled cancelled already_terminal already_terminal already_terminal",
  delete: "gone gone invalid_status gone gone gone gone",
  add_contacts: "stays stays stays stays already_terminal already_terminal already_terminal",
  update: "stays stays stays stays not_updatable not_updatable not_updatable",
};

const promisedStatuses: Record<Command, JobStatus[]> = {
  start: ["pending", "scheduled"],
  reschedule: ["pending", "scheduled"],
  pause: ["running"],
  resume: ["paused"],
  cancel: ["pending", "scheduled", "running", "paused"],
  delete: ["pending", "scheduled", "paused", "completed", "failed", "cancelled"],
  add_contacts: ["pending", "scheduled", "running", "paused"],
  update: ["pending", "scheduled", "running", "paused"],
};

const promisedCommands: Record<JobStatus, Command[]> = {
  pending: ["start", "reschedule", "cancel", "delete", "add_contacts", "update"],
  scheduled: ["start", "reschedule", "cancel", "delete", "add_contacts", "update"],
  running: ["pause", "cancel", "add_contacts", "update"],
  paused: ["resume", "cancel", "delete", "add_contacts", "update"],
  completed: ["delete"],
  failed: ["delete"],
  cancelled: ["delete"],
};

const cells = commands.flatMap((command) =>
  promised[command]
    .split(" ")
    .map((verdict, i) => ({ command, verdict, i, status: columns[i] ?? "pending", id: "job-1", dialing: 0 })),
);
const isRefusal = ({ verdict }: { verdict: string }) => /^(already_|invalid_|not_)/.test(verdict);

test("the statuses are those of the contract, in its order", () => {
  expect(jobStatuses).toEqual(columns);
});

describe("the table", () => {
  test.each(cells)("says $verdict for $command of a $status job", ({ command, verdict, i }) => {
    expect(stateTable[command][i]).toBe(verdict);
  });

  test.each(cells.filter((cell) => !isRefusal(cell)))("lets $command of a $status job pass", (cell) => {
    expect(() => checkAllowed(cell.command, cell)).not.toThrow();
  });

  test.each(cells.filter(isRefusal))("refuses $command of a $status job as $verdict", async (cell) => {
    expect(await refusal(() => checkAllowed(cell.command, cell))).toEqual({
      reason: cell.verdict,
      message: expect.stringMatching(/^The batch job is .+\.$/),
      metadata: {
        batchJobId: "job-1",
        status: cell.status,
        allowedStatuses: promisedStatuses[cell.command].join(","),
      },
    });
  });
});

describe("what is allowed", () => {
  test.each(commands)("the statuses in which %s is allowed are those of the contract", (command) => {
    expect(allowedStatuses(command)).toEqual(promisedStatuses[command]);
  });

  test.each(columns)("the commands that a %s job allows are those of the contract", (status) => {
    expect(allowedCommands({ id: "job-1", status, dialing: 0 })).toEqual(promisedCommands[status]);
  });

  test.each(columns)("a %s job of which a contact is dialing allows the same but delete", (status) => {
    expect(allowedCommands({ id: "job-1", status, dialing: 1 })).toEqual(
      promisedCommands[status].filter((command) => command !== "delete"),
    );
  });
});

describe("a dialing contact", () => {
  test.each(["paused", "completed", "failed", "cancelled"] as const)(
    "keeps a %s job from deletion",
    async (status) => {
      expect(await refusal(() => checkAllowed("delete", { id: "job-1", status, dialing: 2 }))).toEqual({
        reason: "invalid_status",
        message: "2 of the batch job's contacts are dialing; delete it when their calls have ended.",
        metadata: {
          batchJobId: "job-1",
          status,
          allowedStatuses: "pending,scheduled,paused,completed,failed,cancelled",
        },
      });
    },
  );

  test.each(["running", "paused"] as const)("does not keep a %s job from being cancelled", (status) => {
    expect(() => checkAllowed("cancel", { id: "job-1", status, dialing: 2 })).not.toThrow();
  });
});

describe("a message says what would have worked", () => {
  test.each([
    ["start", "running", "The batch job is running already."],
    ["start", "failed", "The batch job is failed; to start it must be pending or scheduled."],
    ["reschedule", "running", "The batch job is running; to reschedule it must be pending or scheduled."],
    [
      "cancel",
      "completed",
      "The batch job is completed; to cancel it must be pending, scheduled, running, or paused.",
    ],
    [
      "delete",
      "running",
      "The batch job is running; to delete it must be pending, scheduled, paused, completed, failed, or cancelled.",
    ],
    [
      "add_contacts",
      "cancelled",
      "The batch job is cancelled; to add contacts it must be pending, scheduled, running, or paused.",
    ],
    [
      "update",
      "completed",
      "The batch job is completed; to update it must be pending, scheduled, running, or paused.",
    ],
  ] as const)("%s of a %s job: %s", async (command, status, message) => {
    const refused = await refusal(() => checkAllowed(command, { id: "job-1", status, dialing: 0 }));
    expect(refused.message).toBe(message);
  });
});
