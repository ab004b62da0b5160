import createRouter from "find-my-way";
import type { ServedPath } from "../rpc/http/paths.ts";
import type { Route } from "./route.ts";

/** Where all the paths are, with or without the version that some clients put before them. */
const ours = /^(?:\/v1)?\/batch(?:\/|$)|^\/v1(?:\/|$)/;

export const isOurs = (path: string): boolean => ours.test(path);

export type Found = { readonly methods: ReadonlyMap<string, Route>; readonly batchJobId: string };

const withVersion = (rows: readonly Route[]) =>
  rows.flatMap((row) => row.paths.flatMap((path) => [path, `/v1${path}`]).map((path) => ({ path, row })));

/** All that is found. */
export const servedPaths = (rows: readonly Route[]): ServedPath[] =>
  withVersion(rows).flatMap(({ path, row }) =>
    (row.method === "GET" ? ["GET", "HEAD"] : [row.method]).map((method) => ({
      method,
      path: path.replaceAll(/:(\w+)/g, "{$1}"),
      rpc: row.rpc,
    })),
  );

/** Finds what is at a path; a fixed name wins over an id, whatever the method. */
export function createTable(rows: readonly Route[]): (path: string) => Found | undefined {
  const router = createRouter({ ignoreTrailingSlash: true, maxParamLength: 1_000 });
  const byPath = Map.groupBy(withVersion(rows), ({ path }) => path);
  for (const [path, here] of byPath) {
    const methods = new Map<string, Route>(here.map(({ row }) => [row.method, row]));
    const get = methods.get("GET");
    if (get !== undefined) methods.set("HEAD", get);
    // Which methods there are is looked up afterwards: so it can be told.
    router.on("GET", path, () => {}, methods);
  }
  return (path) => {
    const found = router.find("GET", path);
    if (!(found?.store instanceof Map)) return undefined;
    return { methods: found.store, batchJobId: found.params["batch_job_id"] ?? "" };
  };
}
