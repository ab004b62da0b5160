import type { Mutant } from "./mutants.ts";

const openLeases = "src/postgres/functions/open_leases.sql";
const suppressedPhones = "src/postgres/phones/suppressed-phones.ts";
const leasing = "test/leasing/suppressed.test.ts";

/** What keeps phones that are suppressed from being called, and nobody else. */
export const suppression: Mutant[] = [
  {
    guard: "a contact whose phone is suppressed is not leased",
    file: openLeases,
    text: "from proposed where not is_suppressed",
    instead: "from proposed",
    test: leasing,
    title: "ends as suppressed, without an attempt, when it is to be leased",
  },
  {
    guard: "an entry that has expired keeps nobody from being called",
    file: openLeases,
    text: "and expires_at > begun\n      limit 1\n    ) as s on true",
    instead: "\n      limit 1\n    ) as s on true",
    test: leasing,
    title: "is called once its entry has expired",
  },
  {
    guard: "phones that nobody calls are looked for by their key alone",
    file: openLeases,
    text: " is true and expires_at > begun",
    instead: " and expires_at > begun",
    test: "test/postgres/lease-plans.test.ts",
    title: "look for phones that nobody calls by their key, whatever was known of the list",
  },
  {
    guard: "a phone is suppressed for its own organization",
    file: openLeases,
    text: `suppression_key(organization_id, phone) = suppression_key(p.organization_id, contact_phone(b.contact))
        and (organization_id = p.organization_id and phone = contact_phone(b.contact)) is true`,
    instead: "phone = contact_phone(b.contact)",
    test: leasing,
    title: "is called in an organization that has not suppressed it",
  },
  {
    guard: "a job ends with its last contact where that is suppressed",
    file: openLeases,
    text: "case when suppressed = open_contacts then ends_as end as ended_as",
    instead: "case when suppressed > open_contacts then ends_as end as ended_as",
    test: leasing,
    title: "ends its job with the last of them, as one of whose calls none was completed",
  },
  {
    guard: "a repeated call for leases is given none whose phone was suppressed since",
    file: "src/postgres/functions/take_over_leases.sql",
    text: " and not is_suppressed and contact <> '' then contact end",
    instead: " and contact <> '' then contact end",
    test: leasing,
    title: "is not given to a repeat of the call that leased it",
  },
  {
    guard: "an addition of phones is answered after the leases that did not see it",
    file: suppressedPhones,
    text: "if (written > 0) await count(trx, organizationId, more);",
    instead: "if (written < 0) await count(trx, organizationId, more);",
    test: leasing,
    title: "is answered after the lease is there for all to see, if that did not see the phone",
  },
  {
    guard: "many phones that are taken for new, of which some are not, are added as any others",
    file: suppressedPhones,
    text: "return rows[0]?.areNew === true ? {",
    instead: "return rows[0]?.areNew !== undefined ? {",
    test: "test/service/suppression.test.ts",
    title: "by the hundred, of which a few are there, or expired, or there twice, are counted as one by one",
  },
  {
    guard: "a job whose next contacts are all suppressed is looked through in few rounds",
    file: "src/leasing/look-ahead.ts",
    text: "if (suppressed > 0 && left === 0) {",
    instead: "if (suppressed < 0 && left === 0) {",
    test: leasing,
    title: "is passed by in few rounds, however many there are and however little room there is",
  },
  {
    guard: "a file of phones is added once under its request id",
    file: "src/suppression/phone-import.ts",
    text: "if (isDone || phones.length === 0) return;",
    instead: "if (phones.length === 0) return;",
    test: "test/service/suppression.test.ts",
    title: "is added once under one request id, also after its phones were removed",
  },
  {
    guard: "a job is said to hold those alone whose phones are suppressed and who are to be called",
    file: "src/postgres/phones/suppressed-contacts.ts",
    text: "where l.is_leased is null and (a.outcome is null or a.next_attempt_at is not null)",
    instead: "where true",
    test: "test/jobs/holds.test.ts",
    title: "in whatever zones they are, whose phones are suppressed, and the others by what holds them",
  },
];
