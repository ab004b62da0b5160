import { createHash } from "node:crypto";
import type { Script } from "./connection.ts";

/** A Lua script and the name under which Redis caches it. */
export const script = (lua: string): Script => ({
  lua,
  sha: createHash("sha1").update(lua).digest("hex"),
});
