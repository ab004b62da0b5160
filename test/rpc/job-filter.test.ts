import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { BatchJobFilterSchema } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { readFilter } from "../../src/rpc/convert/job-filter.ts";

const read = (created: { from?: bigint; to?: bigint }) =>
  readFilter(
    create(BatchJobFilterSchema, {
      created: Object.fromEntries(
        Object.entries(created).map(([end, nanos]) => [
          end,
          { seconds: nanos / 1_000_000_000n, nanos: Number(nanos % 1_000_000_000n) },
        ]),
      ),
    }),
    "filter.",
  ).created;

test("a time that lies between two milliseconds begins with the later one", () => {
  expect(read({ from: 1_000_001n, to: 2_000_000n })).toEqual({ from: new Date(2), to: new Date(2) });
  expect(read({ from: 1_000_000n })).toEqual({ from: new Date(1), to: undefined });
});

test.each([
  ["at its beginning", 5n],
  ["before its beginning", 4n],
])("a time that ends %s is refused by its name", (_, to) => {
  expect(() => read({ from: 5n, to })).toThrow(
    "The request's field filter.created.to is wrong: it must be later than filter.created.from.",
  );
});
