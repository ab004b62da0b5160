import type { Mutant } from "./mutants.ts";

/** Lists of people: how their phones are read, who is copied, and by which labels jobs are found. */
export const lists: Mutant[] = [
  {
    guard: "digits that are no number of a country's plan are not called",
    file: "src/files/numbering-plan.ts",
    text: "isOfKind.some(({ is, lengths }) => lengths?.includes(digits.length) !== false && is.test(digits))",
    instead: "isOfKind.length > 0",
    test: "test/files/numbering-plan.test.ts",
    title: "a number that is read by its plan is the one that the library reads",
  },
  {
    guard: "a number with an extension is not dialed without it",
    file: "src/files/phones.ts",
    text: "  if (parsed?.ext !== undefined) return extension;\n",
    instead: "",
    test: "test/jobs/national-phones.test.ts",
    title: "a job is created with phones as they are written in its default region",
  },
  {
    guard: "whoever is suppressed is not copied into another job",
    file: "src/postgres/copies.ts",
    text: "(await hasSuppressed(trx, from.organizationId)) ? isNotSuppressed : undefined",
    instead: "undefined as Sql | undefined",
    test: "test/jobs/copying.test.ts",
    title: "leaves those out whose phone is suppressed by now",
  },
  {
    guard: "a job is no more found by labels that it had",
    file: "src/postgres/job-settings.ts",
    text: "  if (changes.labels !== undefined) await replaceLabels(trx, job);\n",
    instead: "",
    test: "test/jobs/labels.test.ts",
    title: "a job is found by the labels that it is given instead of others",
  },
  {
    guard: "the rejected rows of one job are not had under another",
    file: "src/postgres/rejected-rows.ts",
    text: "part from rejected_rows\n    where organization_id = ${organizationId} and job_id = ${jobId} and",
    instead: "part from rejected_rows\n    where organization_id = ${organizationId} and",
    test: "test/jobs/import/rejected-rows.test.ts",
    title: "is the job's, and the organization's",
  },
  {
    guard: "rejected rows go with their job",
    file: "src/postgres/contacts.ts",
    text: `, "rejected_rows"] as const`,
    instead: "] as const",
    test: "test/jobs/import/rejected-rows.test.ts",
    title: "goes with its job",
  },
  {
    guard: "no spreadsheet runs a cell of rejected rows",
    file: "src/files/rejected-sheet.ts",
    text: "return text === undefined ? absentCell : toCell(text);",
    instead: "return text ?? absentCell;",
    test: "test/jobs/import/rejected-rows.test.ts",
    title: "are had whole and in its order, with their lines and what is wrong, duplicates too",
  },
];
