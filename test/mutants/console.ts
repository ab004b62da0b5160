import type { Mutant } from "./mutants.ts";

const sessions = "src/rpc/http/pages/console-session.ts";
const test = "test/service/console-session.test.ts";

export const consoleSessions: Mutant[] = [
  {
    guard: "the console's cookie counts only beside a header that no other page can send",
    file: sessions,
    text: "headers[proofHeader] !== undefined &&",
    instead: "",
    test,
    title: "counts as from nobody",
  },
  {
    guard: "where the browser says that another site asks, the console's cookie does not count",
    file: sessions,
    text: '(headers["sec-fetch-site"] ?? "same-origin") === "same-origin"',
    instead: "true",
    test,
    title: "counts as from nobody",
  },
  {
    guard: "the console signs nobody in for another page",
    file: sessions,
    text: "if (!isProven(request.headers)) {",
    instead: "if (false) {",
    test,
    title: "counts as from nobody",
  },
  {
    guard: "a worker's key opens no console",
    file: sessions,
    text: "if (caller.role === Role.WORKER) throw forWorkersOnly();",
    instead: "",
    test,
    title: "gets no cookie",
  },
];

const hub = "src/console/data/stream/hub.ts";
const rows = "src/console/features/jobs/rows.ts";
const components = "test/console/components/components.test.ts";
const rowTests = "test/console/rows.test.ts";

export const consolePace: Mutant[] = [
  {
    guard: "pages are told of jobs no more often than once a second",
    file: hub,
    text: "Math.max(0, toldMs + paceMs - performance.now())",
    instead: "0",
    test: components,
    title: "a page is told at once, then once a second, the last word on each",
  },
  {
    guard: "when pages were told last is kept",
    file: hub,
    text: "    toldMs = performance.now();\n",
    instead: "",
    test: components,
    title: "a page is told at once, then once a second, the last word on each",
  },
  {
    guard: "of what is heard of a job meanwhile the last is told",
    file: hub,
    text: "untold.set(job.batchJobId, job);",
    instead: "if (!untold.has(job.batchJobId)) untold.set(job.batchJobId, job);",
    test: components,
    title: "a page is told at once, then once a second, the last word on each",
  },
  {
    guard: "a table tells which rows have left the screen",
    file: "src/console/ui/table/data-table.tsx",
    text: "watched.get(target)?.(isIntersecting)",
    instead: "watched.get(target)?.(true)",
    test: components,
    title: "tells which rows are seen",
  },
  {
    guard: "a row that nobody sees is not drawn at each change",
    file: rows,
    text: "if (seen.has(job.batchJobId)) show(job);",
    instead: "if (true) show(job);",
    test: rowTests,
    title: "shows a change at once, and one that is not once somebody comes to it",
  },
  {
    guard: "a row that comes on the screen shows what was heard of it meanwhile",
    file: rows,
    text: "      if (job !== undefined) show(job);\n",
    instead: "",
    test: rowTests,
    title: "shows a change at once, and one that is not once somebody comes to it",
  },
  {
    guard: "a row that leaves the screen is no longer drawn at each change",
    file: rows,
    text: "return void seen.delete(id);",
    instead: "return;",
    test: rowTests,
    title: "a row that has left the screen shows changes when all do that nobody sees",
  },
  {
    guard: "a list that was read earlier takes nothing newer away from its rows",
    file: rows,
    text: "[job, waiting.get(id) ?? job]",
    instead: "[job]",
    test: rowTests,
    title: "a row shows the newest of what is known, whichever way it came",
  },
];
