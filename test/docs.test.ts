import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { getOption } from "@bufbuild/protobuf";
import { codeToHttpStatus } from "@connectrpc/connect/protocol-connect";
import { expect, test } from "vitest";
import { readConfig } from "../src/config.ts";
import { errorReasons } from "../src/domain/batch-job-error.ts";
import { jobStatuses, stateTable } from "../src/domain/batch-job.ts";
import { roles } from "../src/domain/caller.ts";
import { BatchJobService } from "../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { Role, roles as rolesOption } from "../src/gen/callsheet/v1/options_pb.ts";
import { codeName, codes } from "../src/rpc/errors.ts";
import { quoted, readme, root, table } from "./support/readme.ts";

/** What the table says of a setting that has no default of its own. */
const noDefault = new Set(["embedded", "see above", "none"]);

const read = (file: string) => readFileSync(join(root, file), "utf8");

test("the table of errors has every reason with its code, and no other", () => {
  const rows = table("### Errors").rows.map(([reason = "", code = ""]) => [quoted(reason)[0], code]);
  expect(rows).toEqual(
    errorReasons.map((reason) => [reason, `${codeName(codes[reason])} (${codeToHttpStatus(codes[reason])})`]),
  );
});

test("the table of states is the one in the code", () => {
  const { head, rows } = table("### States");
  expect(head).toEqual(["command", ...jobStatuses]);
  expect(Object.fromEntries(rows.map(([command = "", ...verdicts]) => [command, verdicts]))).toEqual(
    stateTable,
  );
});

test("the table of RPCs has every method of the proto with its roles, and no other", () => {
  const declared = BatchJobService.methods.map((method) => {
    const option = getOption(method, rolesOption);
    const names = roles.filter((role) => option.includes(Role[role.toUpperCase() as keyof typeof Role]));
    return [method.name, ["admin", ...names.filter((name) => name !== "admin")].join(", ")];
  });
  const rows = table("## The API").rows.map(([name = "", , who = ""]) => [quoted(name)[0], who]);
  expect(rows.toSorted()).toEqual(declared.toSorted());
});

test("the table of settings has every setting with its default, and no other", () => {
  const names = [...read("src/config.ts").matchAll(/^ {2}([A-Z][A-Z_]+): /gm)].map(([, name = ""]) => name);
  const config = readConfig({});
  const defaults: Record<string, unknown> = {
    ...config,
    SHUTDOWN_TIMEOUT: config.SHUTDOWN_TIMEOUT / 1000,
    CONNECTION_MAX_AGE: config.CONNECTION_MAX_AGE / 1000,
    KEEP_ALIVE_TIMEOUT: config.KEEP_ALIVE_TIMEOUT / 1000,
    LONGEST_WAIT: config.LONGEST_WAIT / 1000,
    IMPORT_TIMEOUT: config.IMPORT_TIMEOUT / 1000,
  };
  const rows = table("## Settings").rows.map(([name = "", shown = ""]) => [
    quoted(name)[0],
    noDefault.has(shown) ? undefined : quoted(shown)[0],
  ]);
  expect(rows).toEqual(
    names.map((name) => [name, defaults[name] === undefined ? undefined : String(defaults[name])]),
  );
});

test("every test that a promise names is there", () => {
  const files = table("## What holds, and how it is tested").rows.flatMap((cells) =>
    quoted(cells.at(-1) ?? ""),
  );
  expect(files).not.toEqual([]);
  expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
});

test("every file that the README links to is there", () => {
  const files = [...readme.matchAll(/\]\((?!https?:|#)([^)]+)\)/g)].map(([, file = ""]) => file);
  expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
});

test("every npm script that the README names is there", () => {
  const { scripts } = JSON.parse(read("package.json"));
  const named = [...readme.matchAll(/npm (?:run )?(start|test|(?<=run )[a-z:]+)/g)].map(
    ([, name = ""]) => name,
  );
  expect(named).toContain("keys");
  expect(named.filter((name) => !(name in scripts))).toEqual([]);
});
