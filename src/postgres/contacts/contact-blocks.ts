import { type RawBuilder, sql } from "kysely";
import type { ContactInput } from "../../domain/contacts/contact.ts";
import type { JobKey } from "../../domain/jobs/job-id.ts";
import { functions } from "../functions/functions.ts";

/*
 * The format of blocks. Functions of Postgres read it by contact_line, contact_phone and is_erased_line.
 *
 * Who the contacts of a job are never changes, unless one is erased, and they are many. So they are in blocks of
 * consecutive numbers: a line for each, with its phone, its name and its fields as JSON, between tabs; none of these
 * holds a tab or a line end. With a row for each they would take twice the room, and six times the time to write.
 */

/** A block that is longer than about 2,000 bytes would be compressed, and kept apart, by Postgres. */
export const blockBytes = 1_800;

/** A line of a block. `fields` is JSON. */
export const writeLine = (phone: string, name: string, fields: string): string =>
  `${phone}\t${name}\t${fields}`;

/** The line of a contact whose person was erased. */
export const erasedLine = writeLine("", "", "{}");

/** Whether a line is one of those, in SQL. */
export const isErasedLine = (line: RawBuilder<unknown>): RawBuilder<boolean> =>
  sql`${sql.id(functions.isErasedLine.name)}(${line})`;

/** A block in which the contact at a place, from 1, is erased, in SQL. */
export const withErased = (
  block: RawBuilder<unknown>,
  place: RawBuilder<unknown>,
): RawBuilder<string> => sql`(
  select ${blockOf(sql`case when t.place = ${place} then ${erasedLine} else t.line end`, sql`t.place`)}
  from ${linesWithPlaces(block)} as t (line, place)
)`;

/** A phone as tables of phones have it, in SQL: the number behind its plus sign. */
export const phoneNumber = (phone: string): RawBuilder<unknown> => sql`${phone.slice(1)}::bigint`;

/** Whether a line is that of a contact with this phone, in SQL. */
export const hasPhone = (line: RawBuilder<unknown>, phone: string): RawBuilder<boolean> =>
  sql`starts_with(${line}, ${phone} || E'\\t')`;

/** Whether any line of a block is, in SQL. */
export const isPhoneIn = (block: RawBuilder<unknown>, phone: string): RawBuilder<boolean> =>
  sql`strpos(E'\\n' || ${block}, E'\\n' || ${phone} || E'\\t') > 0`;

/** The place of the contact with this phone in a block that has it, from 0. */
export const placeOfPhone = (block: string, phone: string): number =>
  linesOf(block).findIndex((line) => line.startsWith(`${phone}\t`));

/**
 * Gathers lines in blocks, each of which becomes `row(the place of its first line, from 1; that of its last; the
 * block; the set of time zones of each, if any is in another than 0)`.
 */
export function createBlocks(
  row: (first: number, last: number, block: string, zoneSets: readonly number[] | undefined) => string,
) {
  let rows: string[] = [];
  let lines: string[] = [];
  let zoneSets: number[] = [];
  let blockSize = 0;
  let bytes = 0;
  let first = 1;
  let count = 0;

  function close(): void {
    const sets = zoneSets.some((zoneSet) => zoneSet > 0) ? zoneSets : undefined;
    if (lines.length > 0) rows.push(row(first, count, lines.join("\n"), sets));
    lines = [];
    zoneSets = [];
    blockSize = 0;
    first = count + 1;
  }

  return {
    add(line: string, zoneSet = 0): void {
      const size = Buffer.byteLength(line) + 1;
      if (blockSize + size > blockBytes) close();
      lines.push(line);
      zoneSets.push(zoneSet);
      blockSize += size;
      bytes += size;
      count += 1;
    },
    /** The rows since the last time; with all that were added, if these were `all`. */
    take({ all }: { all: boolean }): string {
      if (all) close();
      const taken = rows.join("");
      rows = [];
      bytes = 0;
      return taken;
    },
    /** How many bytes of lines were added since the last time. */
    bytes: () => bytes,
    /** How many lines were added in all. */
    count: () => count,
  };
}

/** The lines of a block, in order. */
export const linesOf = (block: string): string[] => block.split("\n");

/** The JSON of the fields in a line, as it was written. */
export const fieldsIn = (line: string): string => line.slice(line.indexOf("\t", line.indexOf("\t") + 1) + 1);

/** The block of some lines, or of some blocks, in SQL: an aggregate. */
export const blockOf = (line: RawBuilder<unknown>, place: RawBuilder<unknown>): RawBuilder<string> =>
  sql`string_agg(${line}, E'\\n' order by ${place})`;

/** The block of an array of lines, in SQL. */
export const blockOfArray = (lines: RawBuilder<unknown>): RawBuilder<string> =>
  sql`array_to_string(${lines}, E'\\n')`;

/** The lines of a block with their places in it, from 1: a table. */
export const linesWithPlaces = (block: RawBuilder<unknown>): RawBuilder<unknown> =>
  sql`string_to_table(${block}, E'\\n') with ordinality`;

/** The contacts of a block, in SQL: a table. */
export const contactsOfBlock = (
  firstNumber: RawBuilder<unknown>,
  block: RawBuilder<unknown>,
): RawBuilder<unknown> => sql`(
  select ${firstNumber} + place::int - 1 as number, split_part(line, E'\\t', 1) as phone,
    split_part(line, E'\\t', 2) as name, split_part(line, E'\\t', 3) as fields
  from ${linesWithPlaces(block)} as t (line, place)
)`;

/**
 * The phones, as numbers, of a job's contacts after one number and up to another, with their numbers: a table. Of those
 * who were erased there is none.
 */
export const phonesBetween = ({ organizationId, id }: JobKey, after: number, upTo: number) => sql`(
  select c.number, nullif(substr(c.phone, 2), '')::bigint as phone
  from (
    select first_number, contacts from contact_blocks
    where organization_id = ${organizationId} and job_id = ${id}
      and first_number <= ${upTo}::int and first_number >= coalesce((
        select max(first_number) from contact_blocks
        where organization_id = ${organizationId} and job_id = ${id} and first_number <= ${after}::int + 1), 1)
  ) as blocks
  cross join lateral ${contactsOfBlock(sql`first_number`, sql`contacts`)} as c
  where c.number > ${after}::int and c.number <= ${upTo}::int and c.phone <> ''
)`;

/** What a line of a block says. */
export function readContact(line: string): ContactInput {
  const [phone = "", name = "", fields = "{}"] = line.split("\t");
  return { phone, name, fields: fields === "{}" ? {} : JSON.parse(fields) };
}

/** Which contact, in SQL. */
type Which = Readonly<Record<"organizationId" | "jobId" | "number", RawBuilder<unknown>>>;

const inBlockOf = <T>(what: RawBuilder<unknown>, { organizationId, jobId, number }: Which) => sql<T>`(
  select ${what} from contact_blocks
  where organization_id = ${organizationId} and job_id = ${jobId} and first_number <= ${number}
  order by first_number desc limit 1)`;

const line = ({ number }: Which) => sql`
  ${sql.id(functions.contactLine.name)}(contacts, ${number} - first_number + 1) as line`;
const zoneSet = ({ number }: Which) => sql`coalesce(zone_sets[${number} - first_number + 1], 0) as zone_set`;

/** The line of a contact; empty or null if the job has none of this number. */
export const lineOf = (which: Which): RawBuilder<string | null> => inBlockOf(line(which), which);

/** The number of the set of time zones that a contact is in. */
export const zoneSetOf = (which: Which): RawBuilder<number | null> => inBlockOf(zoneSet(which), which);

/** A table of both. */
export const lineAndSetOf = (which: Which): RawBuilder<unknown> =>
  inBlockOf(sql`${line(which)}, ${zoneSet(which)}`, which);
