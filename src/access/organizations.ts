import { setTimeout as delay } from "node:timers/promises";
import { Command, InvalidArgumentError } from "commander";
import { z } from "zod";
import { BatchJobError } from "../domain/batch-job-error.ts";
import { readCallingHours } from "../domain/time/hours-input.ts";
import type { CallingHours } from "../domain/time/hours.ts";
import { telling } from "../postgres/events/events.ts";
import { lockOrganization } from "../postgres/jobs/locks.ts";
import type { Database } from "../postgres/connections/database.ts";
import {
  type Organization,
  type OrganizationSettings,
  type SettingChanges,
  findOrganizationNamed,
  insertOrganization,
  listOrganizations,
  updateOrganization,
} from "../postgres/organizations.ts";
import { closeOrganization, findRemainder, removeOrganization } from "../postgres/removal.ts";
import { organizationName, print, runCommand, withDatabase } from "./command-line.ts";

const by = { actor: "command_line", requestId: "" } as const;

type NumberSetting = Exclude<keyof OrganizationSettings, "callingHours">;

/** What can be set, as UpdateOrganization takes it. */
export const settingOptions: Record<
  NumberSetting,
  { least: number; most: number; isFine?: boolean; what: string }
> = {
  leaseLimit: { least: 1, most: 1_000_000, what: "so many contacts may be dialing at once" },
  storedContactLimit: { least: 0, most: 2_000_000_000, what: "its jobs may have so many contacts together" },
  rateRead: { least: 0, most: 1_000_000, what: "so many reads a second, 0 for no limit" },
  rateCommand: { least: 0, most: 1_000_000, what: "so many commands a second, 0 for no limit" },
  rateImport: { least: 0, most: 1_000_000, what: "so many imports a second, 0 for no limit" },
  rateLease: { least: 0, most: 1_000_000, what: "so many calls for leases a second, 0 for no limit" },
  callsPerSecond: { least: 0.01, most: 1_000, isFine: true, what: "its jobs begin so many calls a second" },
  suppressedPhoneLimit: { least: 0, most: 2_000_000_000, what: "it may suppress so many phones" },
};

const settings = Object.entries(settingOptions) as [NumberSetting, (typeof settingOptions)["leaseLimit"]][];
const hoursFlag = "--calling-hours";
const flagOf = (setting: string): string =>
  `--${setting.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

const numberFrom =
  ({ least, most, isFine = false }: { least: number; most: number; isFine?: boolean }) =>
  (text: string): number | "default" => {
    if (text === "default") return text;
    const value = Number(text);
    const isNumber = isFine ? /^\d+(?:\.\d+)?$/ : /^\d+$/;
    if (isNumber.test(text) && value >= least && value <= most) return value;
    const number = isFine ? "number" : "whole number";
    throw new InvalidArgumentError(`give a ${number} from ${least} to ${most}, or "default".`);
  };

/** Hours as JSON, as UpdateOrganization takes them there. */
function hoursFrom(text: string): CallingHours | "default" {
  if (text === "default") return text;
  try {
    const { closeEarly, ...given } = hoursShape.parse(JSON.parse(text));
    const closeEarlyMs = closeEarly === undefined ? undefined : Number(closeEarly.slice(0, -1)) * 1_000;
    return readCallingHours({ ...given, closeEarlyMs }, "calling_hours");
  } catch (error) {
    if (error instanceof BatchJobError) throw new InvalidArgumentError(error.message);
    throw new InvalidArgumentError(
      `give JSON such as '{"windows":[{"days":[1,2,3,4,5],"start":"09:00","end":"17:00"}]}', with exceptions and closeEarly as in UpdateOrganization, or "default".`,
    );
  }
}

const windowShape = { start: z.string(), end: z.string() };
const hoursShape = z.strictObject({
  windows: z.array(z.strictObject({ days: z.array(z.int()), ...windowShape })).default([]),
  exceptions: z
    .array(z.strictObject({ date: z.string(), windows: z.array(z.strictObject(windowShape)).default([]) }))
    .default([]),
  closeEarly: z
    .string()
    .regex(/^\d{1,4}(?:\.\d{1,3})?s$/)
    .optional(),
});

type Given = { readonly [S in NumberSetting]?: number | "default" } & {
  readonly callingHours?: CallingHours | "default";
};

const changesIn = (given: Given): SettingChanges =>
  Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name, value === "default" ? null : value]),
  );

function withSettings(command: Command): Command {
  for (const [setting, option] of settings) {
    command.option(
      `${flagOf(setting)} <number>`,
      `${option.what}; "default" for what the service has for all`,
      numberFrom(option),
    );
  }
  return command.option(
    `${hoursFlag} <json>`,
    'beyond these hours none of its jobs calls; "default" for no such hours',
    hoursFrom,
  );
}

/** By then no replica takes a key that was revoked, nor delivers to an endpoint that is gone. */
const untilClosedMs = 7_000;

/** Throws if a job of the organization may still call, or somebody is being called. */
async function checkEnded(db: Database, { id, name }: Pick<Organization, "id" | "name">): Promise<void> {
  const { jobs, dialing } = await findRemainder(db, id);
  if (jobs === 0 && dialing === 0) return;
  throw new Error(
    `${name} has jobs that are scheduled, running or paused (${jobs}), or contacts that are dialing (${dialing}); cancel those jobs with a key of it, and let the calls end.`,
  );
}

/** Makes, lists, changes and removes organizations. */
export function organizationsCommand(): Command {
  const program = new Command("organizations").description(
    "Makes, lists, changes and removes organizations.",
  );

  withSettings(program.command("create"))
    .description("makes an organization; make its first key with the command for keys")
    .argument("<name>", "its name", organizationName)
    .action(async (name: string, given: Given) => {
      await withDatabase(async (db) => {
        await db.transaction().execute(async (trx) => {
          const made = await insertOrganization(trx, name, by, async (id, tell) => {
            await updateOrganization(trx, id, changesIn(given), by, tell);
          });
          if (made === undefined)
            throw new Error(`There is an organization ${name} already; give another name.`);
        });
        print(`created ${name}`);
      });
    });

  program
    .command("list")
    .description("lists the organizations, with what is set for them and what they have")
    .action(async () => {
      await withDatabase(async (db) => {
        for (const { name, createdAt, dialing, storedContacts, settings: set } of await listOrganizations(
          db,
        )) {
          const given = settings.flatMap(([setting]) =>
            set[setting] === null ? [] : [`${flagOf(setting).slice(2)} ${set[setting]}`],
          );
          if (set.callingHours !== null) given.push("calling-hours");
          print(
            `${name}  created ${createdAt.toISOString()}  contacts ${storedContacts}  dialing ${dialing}  ${given.join("  ")}`,
          );
        }
      });
    });

  withSettings(program.command("update"))
    .description("changes what is set for an organization")
    .argument("<name>", "its name", organizationName)
    .action(async (name: string, given: Given) => {
      if (Object.keys(given).length === 0) {
        throw new Error(
          `Nothing is to be changed; give at least one of ${[...settings.map(([s]) => flagOf(s)), hoursFlag].join(", ")}.`,
        );
      }
      await withDatabase(async (db) => {
        await db.transaction().execute(async (trx) => {
          const found = await findOrganizationNamed(trx, name);
          if (found === undefined)
            throw new Error(`There is no organization ${name}; "list" shows those there are.`);
          await lockOrganization(trx, found.id);
          await telling(trx, found.id, (tell) =>
            updateOrganization(trx, found.id, changesIn(given), by, tell),
          );
        });
        print(`updated ${name}`);
      });
    });

  program
    .command("remove")
    .description(
      "removes an organization with its keys, jobs, contacts, lists and events; nothing brings them back",
    )
    .argument("<name>", "its name", organizationName)
    .requiredOption("--confirm <name>", "its name once more")
    .action(async (name: string, { confirm }: { confirm: string }) => {
      if (confirm !== name)
        throw new Error(`--confirm names another organization than ${name}; give its name.`);
      await withDatabase(async (db) => {
        const found = await findOrganizationNamed(db, name);
        if (found === undefined)
          throw new Error(`There is no organization ${name}; "list" shows those there are.`);
        await checkEnded(db, found);
        await closeOrganization(db, found.id, by);
        await delay(untilClosedMs);
        // What was under way under its keys has ended.
        await checkEnded(db, found);
        await removeOrganization(db, found.id);
        print(`removed ${name}`);
      });
    });

  return program;
}

if (import.meta.main) await runCommand(organizationsCommand());
