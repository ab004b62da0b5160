import { type RawBuilder, sql } from "kysely";
import type { By, Tell } from "../domain/event.ts";
import type { CallingHours } from "../domain/time/hours.ts";
import type { Trx } from "./jobs/batch-jobs.ts";
import type { Database } from "./connections/database.ts";
import { telling } from "./events/events.ts";
import { nextCallAt } from "./leasing/pace.ts";

/** What can be set for an organization; null is what the service has for all. */
export type OrganizationSettings = {
  readonly leaseLimit: number;
  readonly storedContactLimit: number | null;
  readonly rateRead: number | null;
  readonly rateCommand: number | null;
  readonly rateImport: number | null;
  readonly rateLease: number | null;
  readonly callsPerSecond: number | null;
  readonly suppressedPhoneLimit: number | null;
  /** Beyond these hours none of its jobs calls. */
  readonly callingHours: CallingHours | null;
};

/** New settings, of those that change; null goes back to what the service has for all. */
export type SettingChanges = { readonly [S in keyof OrganizationSettings]?: OrganizationSettings[S] | null };

export type Organization = {
  readonly id: number;
  readonly name: string;
  readonly createdAt: Date;
  readonly dialing: number;
  readonly storedContacts: number;
  readonly suppressedPhones: number;
  readonly settings: OrganizationSettings;
};

const columns = {
  leaseLimit: "lease_limit",
  storedContactLimit: "stored_contact_limit",
  rateRead: "rate_read",
  rateCommand: "rate_command",
  rateImport: "rate_import",
  rateLease: "rate_lease",
  callsPerSecond: "calls_per_second",
  suppressedPhoneLimit: "suppressed_phone_limit",
  callingHours: "calling_hours",
} as const satisfies Record<keyof OrganizationSettings, string>;

export const settingNames = Object.keys(columns) as (keyof OrganizationSettings)[];

async function select(db: Database | Trx, which: RawBuilder<unknown>): Promise<Organization[]> {
  const { rows } = await sql<Omit<Organization, "settings"> & OrganizationSettings>`
    select o.id, o.name, o.created_at as "createdAt", o.dialing, coalesce(s.contacts, 0) as "storedContacts",
      o.suppressed_phones as "suppressedPhones",
      ${sql.join(Object.entries(columns).map(([name, column]) => sql`o.${sql.ref(column)} as ${sql.ref(name)}`))}
    from organizations o left join stored_contacts s on s.organization_id = o.id
    where ${which} order by o.name
  `.execute(db);
  return rows.map(({ id, name, createdAt, dialing, storedContacts, suppressedPhones, ...settings }) => ({
    id,
    name,
    createdAt,
    dialing,
    storedContacts,
    suppressedPhones,
    settings,
  }));
}

/** Every organization, by name. */
export const listOrganizations = (db: Database): Promise<Organization[]> => select(db, sql`true`);

export async function findOrganization(db: Database | Trx, id: number): Promise<Organization> {
  const [found] = await select(db, sql`o.id = ${id}`);
  if (found === undefined) throw new Error("a caller's organization is gone");
  return found;
}

export async function findOrganizationNamed(
  db: Database | Trx,
  name: string,
): Promise<Organization | undefined> {
  return (await select(db, sql`o.name = ${name}`))[0];
}

/**
 * Makes an organization, and then does what is to be done with it at once; undefined if there is one of this name.
 */
export async function insertOrganization(
  trx: Trx,
  name: string,
  by: By,
  furnish: (id: number, tell: Tell) => Promise<void> = async () => {},
): Promise<number | undefined> {
  const made = await trx
    .insertInto("organizations")
    .values({ name })
    .onConflict((conflict) => conflict.column("name").doNothing())
    .returning("id")
    .executeTakeFirst();
  if (made === undefined) return undefined;
  await telling(trx, made.id, async (tell) => {
    tell({ type: "organization.created", ...by });
    await furnish(made.id, tell);
  });
  return made.id;
}

const valueOf = (value: number | CallingHours | null) => {
  if (value === null) return sql`default`;
  return typeof value === "number" ? sql`${value}::float8` : sql`${JSON.stringify(value)}::jsonb`;
};

const picked = (settings: OrganizationSettings, names: readonly (keyof OrganizationSettings)[]) =>
  Object.fromEntries(names.map((name) => [name, settings[name]]));

/** Changes settings of an organization, which the transaction has locked; answers how it is then. */
export async function updateOrganization(
  trx: Trx,
  id: number,
  changes: SettingChanges,
  by: By,
  tell: Tell,
): Promise<Organization> {
  const before = await findOrganization(trx, id);
  const names = settingNames.filter((name) => changes[name] !== undefined);
  if (names.length === 0) return before;
  const assignments = names.map((name) => sql`${sql.ref(columns[name])} = ${valueOf(changes[name] ?? null)}`);
  if (changes.callsPerSecond !== undefined) {
    assignments.push(sql`next_call_at = ${nextCallAt(changes.callsPerSecond)}`);
  }
  // The jobs give nothing until they are reckoned under the hours that there are now.
  if (names.includes("callingHours")) assignments.push(sql`hours_revision = hours_revision + 1`);
  await sql`update organizations set ${sql.join(assignments)} where id = ${id}`.execute(trx);
  const after = await findOrganization(trx, id);
  const data = { before: picked(before.settings, names), after: picked(after.settings, names) };
  tell({ type: "organization.updated", ...by, data });
  return after;
}
