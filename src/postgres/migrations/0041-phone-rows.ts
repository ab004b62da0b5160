import { type Kysely, sql } from "kysely";

/*
 * The columns of a contact's phone in an order that leaves no hole between them, which makes a row an eighth smaller.
 * Where phones are there already they stay as they are: a migration writes no large table anew.
 */
export async function up(db: Kysely<never>): Promise<void> {
  await sql`lock table contact_phones`.execute(db);
  const { rows } = await sql`select from contact_phones limit 1`.execute(db);
  if (rows.length > 0) return;
  await sql`drop table contact_phones`.execute(db);
  await sql`
    create table contact_phones (
      phone bigint not null,
      job_id uuid not null,
      organization_id int not null,
      number int,
      primary key (organization_id, job_id, phone)
    )`.execute(db);
}
