import { randomUUID } from "node:crypto";
import type { Caller } from "../../src/domain/caller.ts";
import { ensureOrganization } from "../../src/postgres/api-keys.ts";
import type { Parts } from "./parts.ts";

/** A caller of an organization that has nothing yet. */
export async function makeCaller(parts: Pick<Parts, "db" | "caller">): Promise<Caller> {
  return { ...parts.caller, organizationId: await ensureOrganization(parts.db, `test ${randomUUID()}`) };
}
