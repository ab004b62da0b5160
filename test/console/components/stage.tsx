// The components that hold logic, each in a scene of its own, built for a browser by the tests: #form shows that of
// forms. `told` is what a scene was told, in order; `stage` is what a test has the world outside do.
import { create, fromBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { signal } from "@preact/signals";
import { type ComponentType, render } from "preact";
import { useState } from "preact/hooks";
import {
  type BatchJob,
  BatchJobCommand,
  BatchJobSchema,
  BatchJobStatus,
} from "../../../src/gen/callsheet/v1/batch_job_pb.ts";
import { ReadStartTimeResponseSchema } from "../../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { type Picked, type Reading, nothingPicked } from "../../../src/console/data/load/use-reading.ts";
import { createHub } from "../../../src/console/data/stream/hub.ts";
import { FileCard } from "../../../src/console/features/create/file-card.tsx";
import { NeverCalledSaid } from "../../../src/console/features/create/review/never-called.tsx";
import {
  type NeverCalled,
  nothingAsked,
} from "../../../src/console/features/create/review/use-never-called.ts";
import { readyIn, useFile } from "../../../src/console/features/create/use-file.ts";
import { commandTable } from "../../../src/console/features/job/commands/command-table.ts";
import { ConfirmDialog } from "../../../src/console/features/job/commands/confirm-dialog.tsx";
import { Dialog } from "../../../src/console/ui/form/dialog.tsx";
import { Form } from "../../../src/console/ui/form/form.tsx";
import { StartTimePicker } from "../../../src/console/ui/form/start-time-picker.tsx";
import { type Column, DataTable } from "../../../src/console/ui/table/data-table.tsx";
import "../../../src/console/ui/styles/base.css";
import "../../../src/console/ui/styles/controls.css";
import "../../../src/console/ui/styles/layout.css";

const told: unknown[] = [];
const tell = (...what: readonly unknown[]): void => void told.push(what);

const rows = Array.from({ length: 200 }, (_, id) => ({ id, calls: signal(0) }));
const columns: readonly Column<(typeof rows)[number]>[] = [
  {
    title: "Pick",
    isTitleUnseen: true,
    cell: ({ id }) => <input type="checkbox" aria-label={`Pick ${id}`} />,
  },
  {
    title: "Calls",
    isNumber: true,
    foot: "In all",
    cell({ id, calls }) {
      tell("drawn", id);
      return calls.value;
    },
  },
];
const onSeen = (id: number, isSeen: boolean) => tell(isSeen ? "seen" : "left", id);

const Table = () => (
  <DataTable
    caption="Calls by row"
    look={undefined}
    columns={columns}
    rows={rows}
    keyOf={({ id }) => id}
    onSeen={onSeen}
  />
);

let answer: (words: string) => void;
let refuse: (words: string) => void;

const send = () =>
  new Promise<string>((resolve, reject) => {
    tell("sent");
    answer = resolve;
    refuse = (words) => reject(new ConnectError(words, Code.FailedPrecondition));
  });

function OneForm() {
  const [problem, setProblem] = useState("Give a name.");
  return (
    <Form label="A form" submit="Send" problem={problem} onSubmit={send}>
      <button type="button" onClick={() => setProblem("")}>
        Give it
      </button>
      <input aria-label="Anything" />
    </Form>
  );
}

function OneDialog() {
  const [isOpen, setOpen] = useState(false);
  const [isHeld, setHeld] = useState(false);
  return (
    <>
      <button type="button" onClick={() => setOpen(true)}>
        Open
      </button>
      {isOpen && (
        <Dialog title="A dialog" isHeld={isHeld} onClose={() => setOpen(false)}>
          <button type="button" onClick={() => setHeld(!isHeld)}>
            {isHeld ? "Let go" : "Hold"}
          </button>
        </Dialog>
      )}
    </>
  );
}

const job = (changes: Partial<BatchJob> = {}): BatchJob => ({
  ...create(BatchJobSchema, {
    batchJobId: "00000000-0000-0000-0000-000000000001",
    name: "Spring",
    status: BatchJobStatus.SCHEDULED,
    scheduledJobId: "s1",
    requestedStartTime: "2035-03-01T10:00",
    timezone: "America/New_York",
    concurrentCallLimit: 1,
    revision: 1n,
    allowedCommands: Object.values(BatchJobCommand),
    counts: { total: 12, pending: 1, dialing: 2, completed: 9 },
  }),
  ...changes,
});

function Commands() {
  const [label, setLabel] = useState("");
  const [now, setNow] = useState(job());
  const row = commandTable.find((each) => each.label === label);
  return (
    <>
      {commandTable.map((each) => (
        <button key={each.label} type="button" onClick={() => setLabel(each.label)}>
          {each.label}
        </button>
      ))}
      {row?.ask && (
        <ConfirmDialog
          ask={row.ask}
          command={row.command}
          look={row.look}
          job={now}
          seen={job()}
          isBusy={false}
          onClose={() => setLabel("")}
          onConfirm={({ revision }) => tell("confirmed", Number(revision))}
        />
      )}
      <Outside does={(changes: Partial<BatchJob>) => setNow(job(changes))} />
    </>
  );
}

/** Gives tests a hand in what comes from outside of the scene. */
let outside: unknown;
const Outside = ({ does }: { does: (changes: never) => void }) => {
  outside = does;
  return null;
};

const refused = (reason: string, message: string): Reading => ({
  kind: "refused",
  refusal: { reason, message, isPassing: false, isAway: false, batchJobId: "" } as never,
});
const readings: Readonly<Record<string, Reading>> = {
  nothing: { kind: "nothing" },
  asking: { kind: "asking" },
  zone: refused("invalid_timezone", "No such zone."),
  time: refused("nonexistent_local_time", "No clock shows it."),
  read: {
    kind: "read",
    at: new Date("2035-11-04T05:30:00Z"),
    answer: create(ReadStartTimeResponseSchema, {
      localTime: "2035-11-04T01:30:00-04:00",
      timezone: "America/New_York",
      occursAgainAt: timestampFromDate(new Date("2035-11-04T06:30:00Z")),
    }),
  },
};

function Picker() {
  const [picked, setPicked] = useState<Picked>(nothingPicked("Europe/Berlin"));
  const [kind, setKind] = useState("nothing");
  return (
    <>
      <StartTimePicker
        picked={picked}
        reading={readings[kind] ?? { kind: "nothing" }}
        onPick={(next) => {
          tell("picked", next);
          setPicked(next);
        }}
      />
      <Outside does={setKind} />
    </>
  );
}

function FileSteps() {
  const { state, choose, layOut, judge } = useFile();
  return (
    <>
      <FileCard
        state={state}
        onChoose={(file) => void choose(file)}
        onLayOut={(file, how) => void layOut(file, how)}
        onJudge={(file, part, choice) => void judge(file, part, choice)}
      />
      <output>{readyIn(state)} can be sent</output>
    </>
  );
}

function Review() {
  const [known, setKnown] = useState(nothingAsked);
  return (
    <>
      <NeverCalledSaid known={known} people={2_000} />
      <Outside does={(next: Partial<NeverCalled>) => setKnown({ ...nothingAsked, ...next })} />
    </>
  );
}

/** What a stream says; each is called once what was said has been heard. */
const sayings: { readonly job: BatchJob; readonly heard: () => void }[] = [];
let wordIsThere = () => {};

async function* stream() {
  for (;;) {
    const word = sayings.shift();
    if (word === undefined) {
      await new Promise<void>((resolve) => (wordIsThere = resolve));
    } else {
      yield { $typeName: "callsheet.v1.WatchBatchJobsResponse" as const, batchJob: word.job };
      word.heard();
    }
  }
}

/** Has a page follow two jobs over a stream, and tells what it is told of them. */
function followJobs(): void {
  createHub(stream).watch({}, ["a", "b"], (event) => {
    if (event.kind !== "jobs") return tell(event.kind);
    tell("jobs", ...event.jobs.map(({ bytes }) => fromBinary(BatchJobSchema, bytes).name));
  });
}

/** Says these names of jobs one after the other; resolves once they are heard. */
async function say(names: readonly (readonly [batchJobId: string, name: string])[]): Promise<void> {
  const heard = names.map(
    ([batchJobId, name]) =>
      new Promise<void>((resolve) => sayings.push({ job: job({ batchJobId, name }), heard: resolve })),
  );
  wordIsThere();
  await Promise.all(heard);
}

const scenes: Readonly<Record<string, ComponentType>> = {
  table: Table,
  form: OneForm,
  dialog: OneDialog,
  commands: Commands,
  picker: Picker,
  file: FileSteps,
  review: Review,
};

Object.assign(globalThis, {
  told,
  stage: {
    count: (id: number) => void (rows[id] && rows[id].calls.value++),
    answer: (words: string) => answer(words),
    refuse: (words: string) => refuse(words),
    outside: (what: unknown) => (outside as (what: unknown) => void)(what),
    change: () =>
      (outside as (changes: Partial<BatchJob>) => void)({ revision: 2n, status: BatchJobStatus.RUNNING }),
    followJobs,
    say,
  },
});

const Scene = scenes[location.hash.slice(1)];
const place = document.getElementById("stage");
if (place !== null && Scene !== undefined) render(<Scene />, place);
