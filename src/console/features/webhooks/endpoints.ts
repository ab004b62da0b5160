import { WebhookService } from "../../../gen/callsheet/v1/webhook_service_pb.ts";
import { clientOf } from "../../data/service/client.ts";
import { insist } from "../../data/service/insist.ts";
import { newRequestId } from "../../data/service/request-id.ts";
import { href } from "../../data/page/route.ts";
import { loaded } from "../../data/load/use-load.ts";

export const webhooks = clientOf(WebhookService);

const tries = 4;

/** Sends a command once, however often that takes; what is shown is loaded anew. */
export async function command<T>(send: (requestId: string) => Promise<T>): Promise<T> {
  const requestId = newRequestId();
  const answer = await insist(() => send(requestId), { tries });
  await loaded.invalidateQueries({ queryKey: ["webhooks"] });
  return answer;
}

/** How often what is shown is looked at again. */
export const everyMs = () => 5_000;

export const endpointAddress = (id: string, trail: readonly string[] = []): string =>
  href(["webhooks", id], { page: trail.join(",") });
