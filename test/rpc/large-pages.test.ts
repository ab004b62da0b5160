import { setImmediate } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { largePagesInterceptor } from "../../src/rpc/calls/large-pages.ts";

type Next = Parameters<Interceptor>[0];
type Request = Parameters<Next>[0];

const method = BatchJobService.method.listBatchJobs;

/** Calls the method through the interceptor; each is answered when it is told to be. */
function through() {
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const next: Next = async (request) => {
    begun.push(request.header.get("x-name") ?? "");
    await new Promise<void>((resolve) => void ends.push(resolve));
    return {} as Awaited<ReturnType<Next>>;
  };
  const call = largePagesInterceptor()(next);
  return {
    begun,
    end: () => ends.shift()?.(),
    async ask(name: string, pageSize: number, signal = new AbortController().signal) {
      const header = new Headers({ "x-name": name });
      const message = create(method.input, { pageSize });
      const contextValues = { get: () => undefined, set: () => contextValues, delete: () => contextValues };
      await call({ stream: false, header, message, signal, contextValues, method } as unknown as Request);
    },
  };
}

test("large pages are made one at a time, and small ones at once", async () => {
  const { begun, ask, end } = through();
  const large = ["first", "second"].map((name) => ask(name, 1_000));
  const small = ask("small", 100);
  await expect.poll(() => begun).toEqual(["small", "first"]);
  end();
  await small;
  for (let turns = 0; turns < 10; turns += 1) await setImmediate();
  expect(begun).toEqual(["small", "first"]);
  end();
  await expect.poll(() => begun).toEqual(["small", "first", "second"]);
  end();
  await Promise.all(large);
});

test("one whose caller has left while it waited is not made, and the next one has its turn", async () => {
  const { begun, ask, end } = through();
  const leaving = new AbortController();
  const first = ask("first", 1_000);
  const left = ask("left", 1_000, leaving.signal);
  const last = ask("last", 1_000);
  leaving.abort(new Error("gone"));
  await expect.poll(() => begun).toEqual(["first"]);
  end();
  await expect(left).rejects.toThrow("gone");
  await expect.poll(() => begun).toEqual(["first", "last"]);
  end();
  await Promise.all([first, last]);
});

test("one that is one too many of those that wait is told to come again", async () => {
  const { ask } = through();
  const all = Array.from({ length: 1_002 }, (_, i) => ask(String(i), 1_000));
  await expect(Promise.race(all)).rejects.toMatchObject({ reason: "unavailable" });
});
