import { type RawBuilder, sql } from "kysely";
import type { ContactInput } from "../domain/contact.ts";

/*
 * Who the contacts of a job are never changes, and they are many. So they are in blocks of consecutive numbers: a line for
 * each, with its phone, its name and its fields as JSON, between tabs; none of these holds a tab or a line end. With a row
 * for each they would take twice the room, and six times the time to write.
 */

/** A block that is longer than about 2,000 bytes would be compressed, and kept apart, by Postgres. */
export const blockBytes = 1_800;

/** A line of a block. `fields` is JSON. */
export const writeLine = (phone: string, name: string, fields: string): string =>
  `${phone}\t${name}\t${fields}`;

/** A block as a row for COPY. */
export const rowOfBlock = (jobId: string, firstNumber: number, lines: readonly string[]): string =>
  `${jobId}\t${firstNumber}\t${escape(lines.join("\n"))}\n`;

const escape = (text: string): string =>
  text.replaceAll("\\", "\\\\").replaceAll("\t", "\\t").replaceAll("\n", "\\n");

/** What a line of a block says. */
export function readContact(line: string): ContactInput {
  const [phone = "", name = "", fields = "{}"] = line.split("\t");
  return { phone, name, fields: fields === "{}" ? {} : JSON.parse(fields) };
}

/** The line of a contact; empty or null if the job has none of this number. */
export const lineOf = (
  jobId: RawBuilder<unknown>,
  number: RawBuilder<unknown>,
): RawBuilder<string | null> => sql`(
  select split_part(contacts, E'\\n', ${number} - first_number + 1) as line from contact_blocks
  where job_id = ${jobId} and first_number <= ${number}
  order by first_number desc limit 1)`;
