import type { ContactInput } from "../../src/domain/contacts/contact.ts";
import type { Imported } from "../../src/jobs/import/contact-import.ts";
import { onJob } from "./make.ts";
import type { Parts } from "./parts.ts";

/** Adds contacts to a job as a file with their phones and names. */
export async function importContacts(
  parts: Pick<Parts, "caller" | "contactImport">,
  batchJobId: string,
  contacts: readonly ContactInput[],
): Promise<Imported> {
  const { caller, requestId, expectedRevision } = onJob(parts, batchJobId);
  const lines = contacts.map(({ phone, name }) => `${phone},${name}`);
  async function* file() {
    yield Buffer.from(["phone,name", ...lines].join("\n"));
  }
  return await parts.contactImport.run({ caller, requestId, expectedRevision, batchJobId }, file());
}
