import type { DescService } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { BatchJobService } from "../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { inBase } from "../page/base.ts";
import { noteAnswer, noteNoAnswer } from "./connection.ts";
import { proof } from "./proof.ts";
import { insist } from "./insist.ts";
import { refusalOf } from "./refusal.ts";
import { askSession, noteKeyRefused, session } from "./session.ts";

const unaryTimeoutMs = 20_000;

/** Signs the page out if its key is refused, and keeps the page's word on whether the service answers. */
export function noteRefusal(thrown: unknown): void {
  const refusal = refusalOf(thrown);
  if (refusal.isAway) return noteNoAnswer();
  noteAnswer();
  if (refusal.reason === "invalid_api_key") noteKeyRefused();
}

const transport = createConnectTransport({
  baseUrl: new URL(inBase(""), location.href).href.replace(/\/$/, ""),
  useBinaryFormat: true,
  defaultTimeoutMs: unaryTimeoutMs,
  interceptors: [
    (next) => async (request) => {
      for (const [name, value] of Object.entries(proof)) request.header.set(name, value);
      try {
        const response = await next(request);
        noteAnswer();
        return response;
      } catch (error) {
        if (ConnectError.from(error).code !== Code.Canceled) noteRefusal(error);
        throw error;
      }
    },
  ],
});

/** Calls a service of the API as whoever is signed in. */
export const clientOf = <S extends DescService>(service: S): Client<S> => createClient(service, transport);

export const service = clientOf(BatchJobService);

async function whoIsThere() {
  try {
    const told = await askSession();
    noteAnswer();
    return told;
  } catch (error) {
    noteRefusal(error);
    throw error;
  }
}

/** Finds out who is signed in; while the service is away that is not known. */
export async function findSession(): Promise<void> {
  session.value = await insist(whoIsThere, { tries: Infinity }).catch(() => undefined);
}
