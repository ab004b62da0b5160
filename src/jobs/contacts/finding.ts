import type { BatchJob } from "../../domain/jobs/batch-job.ts";
import type { Caller } from "../../domain/caller.ts";
import { readPageToken, writePageToken } from "../../domain/page-token.ts";
import { findContactsByPhone } from "../../postgres/phones/find-contacts.ts";
import { type Searching, search } from "../../postgres/connections/searches.ts";
import { createLongPages } from "../long-pages.ts";
import { readPhone } from "./phone-argument.ts";
import { pageSizeOf } from "../../domain/page-size.ts";
import { type Contact, isJobCursor, shown } from "../queries.ts";

export type FoundContact = { readonly job: BatchJob; readonly contact: Contact };

/** Finds the contacts of an organization by their phone. */
export function createFinding(connections: Searching) {
  const readPage = createLongPages();

  return {
    /** One page of the contacts with a phone, that of the newest job first; a short one as of jobs. */
    async findContacts(
      { organizationId }: Caller,
      written: string,
      page: { size: number; token: string },
      signal?: AbortSignal,
    ): Promise<{ found: FoundContact[]; nextPageToken: string }> {
      const phone = readPhone(written, "phone");
      const scope = ["found contacts", organizationId, phone];
      const cursor = readPageToken(page.token, scope, isJobCursor);
      const after = cursor && { createdAt: new Date(cursor[0]), id: cursor[1] };
      const wanted = { organizationId, size: pageSizeOf(page.size) };
      const { found, goesOnAfter } = await readPage(wanted, (size) =>
        search(connections, { organizationId, signal }, (trx) =>
          findContactsByPhone(trx, organizationId, phone, { after, size }),
        ),
      );
      return {
        found: found.map(({ job, contact }) => ({ job, contact: shown(contact, job) })),
        nextPageToken: goesOnAfter
          ? writePageToken(scope, [goesOnAfter.createdAt.getTime(), goesOnAfter.id])
          : "",
      };
    },
  };
}
