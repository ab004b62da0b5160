/** Every reason for which a call is refused; a test holds the table in proto/README.md to them. */
export const errorReasons = [
  "job_not_found",
  "contact_not_found",
  "import_not_found",
  "api_key_not_found",
  "webhook_endpoint_not_found",
  "already_running",
  "invalid_status",
  "already_terminal",
  "not_updatable",
  "no_contacts",
  "invalid_timezone",
  "invalid_datetime",
  "past_scheduled_time",
  "invalid_argument",
  "no_valid_contacts",
  "invalid_page_token",
  "cursor_expired",
  "request_id_reused",
  "revision_mismatch",
  "last_admin_key",
  "no_erasure_key",
  "invalid_api_key",
  "permission_denied",
  "too_large",
  "rate_limited",
  "limit_exceeded",
  "unavailable",
] as const;

export type ErrorReason = (typeof errorReasons)[number];

/** A refusal. The message is one sentence that says what would have worked; anything else that is thrown is a bug. */
export class BatchJobError extends Error {
  override readonly name = "BatchJobError";
  readonly reason: ErrorReason;
  readonly metadata: Readonly<Record<string, string>>;
  /** After how long the same call may succeed, where that is known. */
  readonly retryDelayMs: number | undefined;

  constructor(
    reason: ErrorReason,
    message: string,
    metadata: Readonly<Record<string, string>> = {},
    { retryDelayMs }: { retryDelayMs?: number } = {},
  ) {
    super(message);
    this.reason = reason;
    this.metadata = metadata;
    this.retryDelayMs = retryDelayMs;
  }
}

/** The refusal of a request for one of its fields; `rule` says what would have worked. */
export const wrongField = (
  field: string,
  rule: string,
  metadata: Readonly<Record<string, string>> = {},
): BatchJobError =>
  new BatchJobError("invalid_argument", `The request's field ${field} is wrong: ${rule}.`, {
    field,
    ...metadata,
  });

/** The refusal of everything while Postgres cannot be reached. */
export const databaseUnavailable = (): BatchJobError =>
  new BatchJobError("unavailable", "The database does not answer; try again in a moment.");

/** The refusal of what writes while Postgres answers and its commits do not end. */
export const writesUnavailable = (): BatchJobError =>
  new BatchJobError(
    "unavailable",
    "The database does not end what is written; try again in a moment, with the same request id.",
  );

/** The refusal of what would wait too long for others, while Postgres answers. */
export const serviceBusy = (): BatchJobError =>
  new BatchJobError("unavailable", "The service is busy with other calls; try again in a moment.");

/** The work was left out for an answer that was kept when the call came, and is not any more. */
export const answerGone = (): BatchJobError =>
  new BatchJobError(
    "unavailable",
    "The answer that was kept under this request_id went after its 24 hours, while this call was under way; make the call again.",
  );
