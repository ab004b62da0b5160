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
