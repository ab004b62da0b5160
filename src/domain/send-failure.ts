/** Why an attempt to send has failed. */
export const sendFailures = [
  /** No address that the name has, or that the URL is of, may be connected to. */
  "address_blocked",
  "name_not_found",
  /** The name servers did not say whether there is the name. */
  "name_server_failed",
  "connection_refused",
  /** Such as where there is no way to the address. */
  "connection_failed",
  /** It ended before the answer did. */
  "connection_lost",
  /** Such as with a certificate that is wrong, over, or signed by nobody known. */
  "tls",
  /** The answer was not there as a whole in time. */
  "timeout",
  /** What came back is not HTTP. */
  "bad_answer",
  "redirect",
  /** 410: nothing is to be sent to it any more. */
  "gone",
  /** Any other status that is not 2xx. */
  "status",
] as const;

export type SendFailure = (typeof sendFailures)[number];
