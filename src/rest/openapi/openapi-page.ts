import type { Pages } from "../../rpc/http/pages/pages.ts";
import { toDocument } from "./openapi.ts";
import { routes } from "../routes.ts";

/** The document of what is served. */
export function openApiPage(basePath: string): Pages[string] {
  const body = JSON.stringify(toDocument(routes, basePath));
  return () => ({ headers: { "content-type": "application/json" }, body });
}
