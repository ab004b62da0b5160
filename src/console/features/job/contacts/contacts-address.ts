import { ContactStatus } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { readTrail } from "../../../ui/table/pager.tsx";
import { contactStatusWords } from "../../../ui/format/words.ts";
import { href } from "../../../data/page/route.ts";

/** What the address of a job says of its list of contacts. */
export type ContactsAddress = {
  readonly id: string;
  readonly statuses: readonly ContactStatus[];
  readonly trail: readonly string[];
};

const wordOf = (status: number): string =>
  (contactStatusWords.get(status) ?? "").toLowerCase().replaceAll(" ", "-");

export function readContactsAddress(id: string, query: URLSearchParams): ContactsAddress {
  const words = (query.get("status") ?? "").split(",");
  const statuses = [...contactStatusWords.keys()].filter((status): status is ContactStatus =>
    words.includes(wordOf(status)),
  );
  return { id, statuses, trail: readTrail(query.get("page")) };
}

export const contactsAddress = ({ id, statuses, trail }: ContactsAddress): string =>
  href(["jobs", id, "contacts"], { status: statuses.map(wordOf).join(","), page: trail.join(",") });

/** Where the service has these contacts as a file. */
export const filePath = (
  id: string,
  statuses: readonly ContactStatus[],
  includeAttempts: boolean,
): string => {
  const query = new URLSearchParams({ include_attempts: String(includeAttempts) });
  if (statuses.length > 0) query.set("statuses", statuses.map((status) => keyOf(status)).join(","));
  return `batch-jobs/${encodeURIComponent(id)}/contacts.csv?${query}`;
};

/** The word of the API for a status. */
const keyOf = (status: ContactStatus): string =>
  (Object.entries(ContactStatus).find(([, value]) => value === status)?.[0] ?? "").toLowerCase();
