import { Code, ConnectError } from "@connectrpc/connect";
import { codeFromHttpStatus, errorFromJson } from "@connectrpc/connect/protocol-connect";

/** What a plain answer of the service says is wrong, with the details that an RPC has; a proxy's has none. */
export function errorFrom(status: number, body: string): ConnectError {
  const fallback = new ConnectError("", status === 0 ? Code.Unavailable : codeFromHttpStatus(status));
  try {
    return errorFromJson(JSON.parse(body), undefined, fallback);
  } catch {
    return fallback;
  }
}

export const errorOf = async (response: Response): Promise<ConnectError> =>
  errorFrom(response.status, await response.text());
