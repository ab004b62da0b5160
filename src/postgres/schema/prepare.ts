import { type Addresses, checkConnections, directVariableOf } from "../connections/check-connections.ts";
import { overUrl } from "../connections/obstacle.ts";
import { migrate, migrations } from "./migrate.ts";
import type { Waiting } from "./migration-lock.ts";
import { checkRights } from "./rights.ts";

/**
 * Makes a database that can be used ready for this version. Whoever works on one goes this way, a command as well as a
 * replica: locks that a migration takes through a pooler of transactions stay behind with connections of strangers.
 */
export async function prepareDatabase(addresses: Addresses, waiting: Waiting): Promise<void> {
  await checkConnections(addresses);
  const { databaseUrl, directUrl } = addresses;
  await overUrl(directUrl, directVariableOf(addresses), () => migrate(directUrl, migrations, waiting));
  await overUrl(databaseUrl, "DATABASE_URL", () => checkRights(databaseUrl));
}
