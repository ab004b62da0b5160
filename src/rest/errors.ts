import { Code, type ConnectError } from "@connectrpc/connect";
import { codeToHttpStatus } from "@connectrpc/connect/protocol-connect";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { codeName, retryAfterOf } from "../rpc/errors.ts";

/** What a call was about, as far as its refusal names it. */
export type Asked = { readonly command?: string | undefined; readonly timezone?: string | undefined };

type Metadata = Readonly<Record<string, string>>;

/** The codes that only these paths have: by the field whose value is wrong. */
const codesByField: ReadonlyMap<string, string> = new Map([
  ["page", "invalid_page"],
  ["contactsPage", "invalid_page"],
  ["pageSize", "invalid_page_size"],
  ["contactsPageSize", "invalid_page_size"],
  ["contactStatus", "invalid_contact_status"],
  ["csv", "invalid_csv"],
  ["scheduledStartTime", "invalid_datetime"],
]);

function codeOf(reason: string, metadata: Metadata): string {
  if (metadata["columns"] !== undefined) return "missing_phone_column";
  if (reason === "no_valid_contacts" && metadata["firstPhone"] !== undefined) return "invalid_phone_format";
  if (reason !== "invalid_argument" || metadata["about"] === "name") return reason;
  if (metadata["field"] === "contacts" && metadata["limit"] !== undefined) return "too_many_contacts";
  if (metadata["field"] === "contacts" && metadata["least"] !== undefined) return "no_valid_contacts";
  return codesByField.get(metadata["field"] ?? "") ?? reason;
}

const onlyBefore: Readonly<Record<string, string>> = {
  start: "Only 'scheduled' or 'pending' jobs can be started.",
  reschedule: "Only 'scheduled' or 'pending' jobs can be rescheduled.",
};

/** The sentences that the published pages have, by code; undefined where they have none. */
function theirs(code: string, metadata: Metadata, asked: Asked): string | undefined {
  const { command = "", timezone = "" } = asked;
  const refused = `Cannot ${command} job in '${metadata["status"] ?? ""}' status`;
  switch (code) {
    case "job_not_found":
      return "Batch job not found";
    case "already_running":
    case "invalid_status":
      return onlyBefore[command] && `${refused}. ${onlyBefore[command]}`;
    case "already_terminal":
      return command === "cancel" ? refused : undefined;
    case "invalid_timezone":
      return `Invalid timezone '${timezone.slice(0, 64)}'. Use IANA timezone format (e.g., 'America/New_York', 'Asia/Karachi', 'UTC').`;
    case "past_scheduled_time":
      return "Scheduled time must be in the future";
    case "missing_phone_column": {
      const columns = (metadata["columns"] ?? "").split(",").map((title) => `'${title}'`);
      return `CSV must have 'phone' column. Found columns: [${columns.join(", ")}]`;
    }
    case "invalid_phone_format":
      return `Invalid phone number format: ${metadata["firstPhone"] ?? ""}`;
    case "invalid_page":
      return "Invalid page number: must be >= 1";
    case "invalid_contact_status":
      return "Invalid contact status filter value";
  }
  return undefined;
}

/** What these paths call a field of an RPC. */
const nameOf = (field: string): string =>
  field === "request_id"
    ? "Idempotency-Key"
    : field.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

const datetimeFormat = "Invalid datetime format. Use format like '2025-03-01T10:00:00'.";

export type Failure = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: {
    readonly success: false;
    readonly error: string;
    readonly code: string;
    readonly detail: string;
  };
};

export const failure = (
  status: number,
  code: string,
  error: string,
  { detail = error, headers = {} }: { detail?: string; headers?: Readonly<Record<string, string>> } = {},
): Failure => ({ status, headers, body: { success: false, error, code, detail } });

/** When to ask again, where waiting helps. */
function retryHeaders(error: ConnectError): Readonly<Record<string, string>> {
  if (error.code !== Code.Unavailable && error.code !== Code.ResourceExhausted) return {};
  return { "retry-after": retryAfterOf(error) ?? "1" };
}

/** A refusal as these paths answer it. */
export function toFailure(error: ConnectError, asked: Asked): Failure {
  const [info] = error.findDetails(ErrorInfoSchema);
  const field = info?.metadata["field"] ?? "";
  const message = error.rawMessage.replace(`field ${field} `, () => `field ${nameOf(field)} `);
  if (info === undefined) {
    // What has no reason was refused before it was read.
    if (error.code === Code.ResourceExhausted) return failure(413, "too_large", message);
    if (error.code === Code.DeadlineExceeded) return failure(408, codeName(error.code), message);
    const headers = retryHeaders(error);
    return failure(codeToHttpStatus(error.code), codeName(error.code), message, { headers });
  }
  const { metadata } = info;
  const code = codeOf(metadata["code"] ?? "", metadata);
  const headers = {
    ...retryHeaders(error),
    ...(error.code === Code.Unauthenticated && { "www-authenticate": "Bearer" }),
  };
  const detail =
    code === "invalid_datetime"
      ? [datetimeFormat, ...(metadata["validAfter"] === undefined ? [] : [message])].join(" ")
      : theirs(code, metadata, asked);
  return failure(codeToHttpStatus(error.code), code, message, {
    headers,
    ...(detail !== undefined && { detail }),
  });
}
