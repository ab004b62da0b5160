import { Command, InvalidArgumentError, Option } from "commander";
import { generateApiKey, hashApiKey } from "../domain/api-key.ts";
import { roles } from "../domain/caller.ts";
import { dayMs } from "../domain/time/day.ts";
import { ensureOrganization, insertApiKey, listApiKeys, revokeApiKey } from "../postgres/api-keys.ts";
import { isUuid } from "../domain/jobs/job-id.ts";
import { nameFrom, organizationName, print, runCommand, withDatabase } from "./command-line.ts";

function days(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0 && value <= 36_500) return value;
  throw new InvalidArgumentError("give a number of days above 0, up to 36500.");
}

function keyId(text: string): string {
  if (isUuid(text)) return text;
  throw new InvalidArgumentError('give the id that "list" shows.');
}

/** Creates, lists and revokes keys. */
export function keysCommand(): Command {
  const program = new Command("keys").description("Creates, lists and revokes the API keys of Callsheet.");

  program
    .command("create")
    .description("creates a key and prints it; it is not shown again")
    .addOption(new Option("--role <role>", "what the key may do").choices(roles).makeOptionMandatory())
    .option(
      "--organization <name>",
      "the organization it belongs to, made if there is none",
      organizationName,
      "default",
    )
    .option("--name <name>", "what the key is for", nameFrom, "")
    .option("--expires-in-days <days>", "when it stops to be valid; never if not given", days)
    .action(async ({ role, organization, name, expiresInDays }) => {
      await withDatabase(async (db) => {
        const key = generateApiKey();
        const made = {
          organizationId: await ensureOrganization(db, organization, "command_line"),
          name,
          role,
          hash: hashApiKey(key),
          expiresAt: expiresInDays === undefined ? null : new Date(Date.now() + expiresInDays * dayMs),
        };
        await insertApiKey(db, made, "command_line");
        print(key);
      });
    });

  program
    .command("list")
    .description("lists the keys, without their secrets")
    .action(async () => {
      await withDatabase(async (db) => {
        for (const key of await listApiKeys(db)) {
          const until = key.expiresAt === null ? "" : `  expires ${key.expiresAt.toISOString()}`;
          const revoked = key.revokedAt === null ? "" : `  revoked ${key.revokedAt.toISOString()}`;
          const used = key.lastUsedAt === null ? "" : `  last used ${key.lastUsedAt.toISOString()}`;
          print(
            `${key.id}  ${key.organization}  ${key.role.padEnd(8)}  created ${key.createdAt.toISOString()}${until}${revoked}${used}  ${key.name}`.trimEnd(),
          );
        }
      });
    });

  program
    .command("revoke")
    .description("revokes a key; replicas refuse it within 5 seconds")
    .argument("<id>", "the key's id, as list shows it", keyId)
    .action(async (id: string) => {
      await withDatabase(async (db) => {
        if (!(await revokeApiKey(db, id, "command_line")))
          throw new Error(`There is no key ${id} that could be revoked.`);
        print(`revoked ${id}`);
      });
    });

  return program;
}

if (import.meta.main) await runCommand(keysCommand());
