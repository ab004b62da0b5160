import type { ColumnType, Generated, Insertable, Selectable } from "kysely";
import type { JobStatus, Labels, PauseWhen } from "../../domain/jobs/batch-job.ts";
import type { EventType, OwnActor } from "../../domain/event.ts";
import type { Role } from "../../domain/caller.ts";
import type {
  ContactInput,
  FinalContactStatus,
  Outcome,
  StoredContactStatus,
} from "../../domain/contacts/contact.ts";
import type { DeliveryStatus } from "../../domain/webhook.ts";

/** A column that the database fills at insert. */
type Filled<T> = Generated<T>;

type ContactCountColumns = { [S in StoredContactStatus as `${S}_contacts`]: Filled<number> };

export type OrganizationsTable = {
  /** Drawn at insert; all other tables say by it whose their rows are. */
  id: ColumnType<number, never, never>;
  name: string;
  created_at: Filled<Date>;
  lease_limit: Filled<number>;
  dialing: Filled<number>;
  /** Calls a second by class; 0 for no limit, null for what the service is set to. */
  rate_read: number | null;
  rate_command: number | null;
  rate_import: number | null;
  rate_lease: number | null;
  calls_per_second: number | null;
  /** When its next call may begin; moved on by leases, and of no meaning without a pace. */
  next_call_at: Date | null;
  /** How many contacts its jobs may have together; null for no limit. */
  stored_contact_limit: number | null;
  /** How many phones it has suppressed. */
  suppressed_phones: Filled<number>;
  /** How many those may be; null for no limit. */
  suppressed_phone_limit: number | null;
  /** How many phones it has erased; erased-phones.ts reads it. */
  erased_phones: ColumnType<never, never, never>;
  /** Beyond these hours none of its jobs calls; zone-sets.ts and organizations.ts read them. */
  calling_hours: ColumnType<never, never, never>;
  /** Moves with them. */
  hours_revision: Filled<number>;
};

export type ApiKeysTable = {
  id: Filled<string>;
  organization_id: number;
  name: string;
  role: Role;
  hash: Buffer;
  created_at: Filled<Date>;
  expires_at: Date | null;
  revoked_at: Date | null;
  /** May lie behind by a minute. */
  last_used_at: Date | null;
};

export type BatchJobsTable = ContactCountColumns & {
  id: Filled<string>;
  organization_id: number;
  name: string;
  description: string;
  /** job_labels has them again. */
  labels: ColumnType<Labels, string | undefined, Labels>;
  from_phone_number_id: string;
  status: JobStatus;
  failure_reason: string | null;
  revision: Filled<number>;
  timezone: string;
  requested_start_time: string | null;
  scheduled_at: Date | null;
  scheduled_job_id: string | null;
  created_at: Filled<Date>;
  updated_at: Filled<Date>;
  started_at: Date | null;
  finished_at: Date | null;
  start_lag_ms: number | null;
  concurrent_call_limit: number;
  max_attempts: number;
  retry_on: Outcome[];
  retry_delays_ms: number[];
  calls_per_second: number | null;
  /** As that of an organization. */
  next_call_at: Date | null;
  /** Over so long from the start its limit grows from one; null for a limit that holds from the start. */
  ramp_up_ms: number | null;
  priority: Filled<number>;
  start_within_ms: number | null;
  pause_when: PauseWhen | null;
  /** Bits of the last attempts, kept by end_leases.sql for pause_when. */
  recent_outcomes: ColumnType<never, never, null>;
  pause_reason: string | null;
  /** When a paused job goes on by itself. */
  resume_at: Date | null;
  /** When a job that is not final ends by itself. */
  end_at: Date | null;
  /** Those who wait for a retry, from the next number on, are to be judged anew by what the job is set to; or null. */
  retries_judged_to: number | null;
  total_contacts: Filled<number>;
  /** How many attempts have ended, since the version that counts them. */
  ended_attempts: Filled<number>;
  /** False while contact_phones lacks the phones of a job whose contacts all came from one file. */
  has_all_phones: Filled<boolean>;
  /** Until then: the last of its contacts whose phone is there. */
  phones_up_to: Filled<number>;
  /** How many of its contacts, from the first on, are in sorted_phones; none are added there once it has all phones. */
  sorted_up_to: Filled<number>;
  /** Null for a job without hours; zone-sets.ts reads it. */
  calling_hours: ColumnType<never, string | null | undefined, never>;
  /** Contacts without a time zone of their own are in those that their numbers can be in. */
  zones_from_phone: Filled<boolean>;
  /** How many zone_sets there are of it; with none its contacts may be leased at any time. */
  zone_sets: Filled<number>;
  /** The organization's, under which these were reckoned; under another one they give nothing. */
  hours_revision: ColumnType<never, number | undefined, number>;
  /** The job whose contacts it was created with; it need not be there any more. */
  copied_from: string | null;
  /** What its next start or its leases go on from, where that was traced; traces.ts reads and writes it. */
  trace_context: ColumnType<never, string | undefined, never>;
};

/** The job that a row is of, and whose it is. */
type JobRef = { organization_id: number; job_id: string };

/** Who the contacts of a job are; contact-blocks.ts reads and writes `contacts`. */
export type ContactBlocksTable = JobRef & {
  first_number: number;
  contacts: string;
  /** Of each in their order; null if all are in set 0. */
  zone_sets: ColumnType<number[] | null, number[] | null | undefined, never>;
};

/** The contacts of a job that are in the same time zones, and when they may be leased. */
export type ZoneSetsTable = JobRef & {
  /** 0 for the job's own time zone. */
  zone_set: number;
  /** Of another set than 0. */
  zones: Filled<string[]>;
  /** Given with its contacts, and no zones of their numbers. */
  is_own: Filled<boolean>;
  /** How many contacts are in it, and how many of them are pending. Of set 0 it is the rest of the job's. */
  contacts: Filled<number>;
  pending_contacts: Filled<number>;
  /** The time in which it is open now, or will be next; null for never. */
  open_from: ColumnType<Date | null, null | undefined, Date | null>;
  open_until: ColumnType<Date | null, null | undefined, Date | null>;
  call_before: ColumnType<Date | null, null | undefined, Date | null>;
  /** When the next such time is to be reckoned; null while the job does not run. */
  next_look_at: ColumnType<Date | null, null | undefined, Date | null>;
};

/** How far a job was at each of the last instants that were noted; progress.ts reads and writes it. */
export type ProgressTable = JobRef & {
  noted_at: ColumnType<never, never, never>;
  final_contacts: ColumnType<never, never, never>;
};

/** A phone without its plus sign; older rows do not say which contact has it. */
export type ContactPhonesTable = JobRef & {
  phone: number;
  number: ColumnType<number | null, undefined, never>;
};

/** Phones in their order, with the numbers of their contacts; sorted-phones.ts reads and writes it. */
export type SortedPhonesTable = JobRef & {
  part: ColumnType<never, never, never>;
  first_phone: ColumnType<never, never, never>;
  phones: ColumnType<never, never, never>;
  numbers: ColumnType<never, never, never>;
};

/** How many of a job's contacts were in which status in a slot of its time; history.ts reads and writes it. */
export type HistoryTable = JobRef & {
  slot: number;
  noted_at: ColumnType<never, never, never>;
  counts: ColumnType<never, never, never>;
  /** Null where a version has noted it that does not count them. */
  ended_attempts: ColumnType<never, never, never>;
};

/** A contact as it is shown: while it is leased it is dialing, in its next attempt. */
export type ContactRow = ContactInput &
  JobRef & {
    number: number;
    status: StoredContactStatus;
    attempts: number;
    last_outcome: Outcome | null;
    next_attempt_at: Date | null;
    zone_set: number;
  };

/** The live leases. */
export type LeasesTable = JobRef & {
  number: number;
  attempt: number;
  /** Tells this lease from others in the same attempt, which were released. */
  nonce: number;
  /** Of the calls that it was taken over from, the last one last; null if there are none. */
  earlier_nonces: ColumnType<never, undefined, never>;
  worker_id: string;
  request_id: string;
  /** Of the call that has it. Of two calls with one request id the later one has the larger ticket. */
  ticket: Filled<number>;
  leased_at: Date;
  expires_at: Date;
  /** When the hours end in which it was given; null if there are none. */
  call_before: Filled<Date | null>;
  /** That its contact is in. */
  zone_set: Filled<number>;
  /** The person was erased meanwhile: nothing is kept of what is reported in words. */
  is_erased: ColumnType<never, never, never>;
};

/**
 * The attempts that have ended. The last one of a contact says what has become of it; one that is `suppressed` is no
 * attempt: its contact was not called again, or never.
 */
export type AttemptsTable = Omit<
  LeasesTable,
  "request_id" | "ticket" | "call_before" | "earlier_nonces" | "zone_set" | "is_erased"
> & {
  ended_at: Date;
  outcome: FinalContactStatus;
  /** When its contact is to be called again, or was; null if never. */
  next_attempt_at: Date | null;
  reported_at: Date | null;
  error_code: string | null;
  failure_reason: string | null;
  call_duration_ms: number | null;
  provider_call_id: string | null;
  /** Of the event that it is; null for one that a version before the log has ended, or that was changed since. */
  sequence: ColumnType<number | null, number | undefined, null>;
};

/** Every attempt, also the one that goes on. */
type AllAttemptsView = Omit<AttemptsTable, "ended_at" | "outcome" | "next_attempt_at" | "sequence"> & {
  ended_at: Date | null;
  outcome: Outcome | null;
};

/** retries.ts tells when one is due. */
export type RetriesTable = JobRef & {
  number: number;
  due_at: Date;
  zone_set: Filled<number>;
  zone_due_at: Filled<Date | null>;
};

export type DeletedJobsTable = JobRef & { last_number: number };

export type RequestsTable = {
  organization_id: number;
  rpc: string;
  request_id: string;
  fingerprint: Buffer;
  answer: ColumnType<unknown, string | null, string | null>;
  /** Null until the command's Redis half is done; then whether it took an entry out of the schedule. */
  entry_removed: boolean | null;
  created_at: Filled<Date>;
};

/** How many contacts the jobs of an organization have together, kept by triggers; without a row it has none. */
export type StoredContactsTable = { organization_id: number; contacts: number };

/** The log of an organization: its last number, and the first that it begins with now; without a row it is empty. */
export type EventHeadsTable = { organization_id: number; sequence: number; first_sequence: Filled<number> };

/** What happened, but for the attempts that are events themselves; events.ts reads and writes it. */
export type EventsTable = {
  organization_id: number;
  sequence: number;
  occurred_at: Date;
  type: EventType;
  actor: OwnActor | "api_key";
  api_key_id: string | null;
  request_id: string;
  batch_job_id: string | null;
  revision: number | null;
  /** Of the contact of the job that it is about; it is kept no longer than that. */
  number: number | null;
  data: ColumnType<unknown, string | null, never>;
};

/** A part of the rows that an import has rejected; rejected-rows.ts writes and reads them. */
export type RejectedRowsTable = {
  organization_id: number;
  job_id: string;
  import_id: string;
  part: number;
  created_at: Filled<Date>;
  csv: string;
};

/** Who is not called, for each organization. */
export type SuppressedPhonesTable = {
  organization_id: number;
  /** Without its plus sign. */
  phone: number;
  /** Or last changed. */
  added_at: Date;
  /** Infinity for never. */
  expires_at: ColumnType<Date | number, Date | string | undefined, never>;
  reason: string;
};

/** The phones that an organization has erased, by a keyed hash, and of how many contacts; erased-phones.ts has them. */
export type ErasedPhonesTable = {
  organization_id: number;
  hash: ColumnType<never, never, never>;
  erased_at: ColumnType<never, never, never>;
  contacts: ColumnType<never, never, never>;
};

/** A row for each label of each job, in the order of lists; it goes with its job. */
export type JobLabelsTable = JobRef & { key: string; value: string; created_at: Date };

export type InstallationTable = {
  redis_prefix: string;
  id: Filled<string>;
  is_only: Filled<boolean>;
  /** Of the key that erased phones are hashed with. */
  erasure_key_hash: ColumnType<never, never, never>;
};

/** Where an organization has its events sent; webhook-endpoints.ts and webhook-holders.ts read and write it. */
export type WebhookEndpointsTable = {
  organization_id: number;
  id: Filled<string>;
  status: ColumnType<"enabled" | "disabled" | "deleted", never, never>;
  secret: ColumnType<string, never, never>;
  /** Its place in the log. */
  sequence: number;
  pending_deliveries: number;
  failing_since: Date | null;
  /** The replica that delivers to it, until then. */
  holder: string | null;
  held_until: Date | null;
};

/** What was not taken at the first attempt, what is replayed, and tests; webhook-deliveries.ts reads and writes it. */
export type WebhookDeliveriesTable = {
  organization_id: number;
  endpoint_id: string;
  /** Its `webhook-id`. */
  id: string;
  status: DeliveryStatus;
  attempts: number;
  /** Null for one that is not to be sent, and while its endpoint is disabled. */
  due_at: Date | null;
  attempted_at: Date | null;
  created_at: Date;
  /** Null once it has ended. */
  body: string | null;
};

export type Tables = {
  installation: InstallationTable;
  organizations: OrganizationsTable;
  api_keys: ApiKeysTable;
  batch_jobs: BatchJobsTable;
  contact_blocks: ContactBlocksTable;
  zone_sets: ZoneSetsTable;
  progress: ProgressTable;
  history: HistoryTable;
  contact_phones: ContactPhonesTable;
  sorted_phones: SortedPhonesTable;
  leases: LeasesTable;
  attempts: AttemptsTable;
  all_attempts: AllAttemptsView;
  retries: RetriesTable;
  deleted_jobs: DeletedJobsTable;
  requests: RequestsTable;
  event_heads: EventHeadsTable;
  events: EventsTable;
  stored_contacts: StoredContactsTable;
  suppressed_phones: SuppressedPhonesTable;
  job_labels: JobLabelsTable;
  erased_phones: ErasedPhonesTable;
  webhook_endpoints: WebhookEndpointsTable;
  webhook_deliveries: WebhookDeliveriesTable;
  rejected_rows: RejectedRowsTable;
};

export type BatchJobRow = Selectable<BatchJobsTable>;
export type BatchJobInsert = Insertable<BatchJobsTable>;
