import type { WebhookEndpoint } from "../../../gen/callsheet/v1/webhook_pb.ts";
import { Badge } from "../../ui/figure/badge.tsx";

/** Whether what is sent to an endpoint arrives. */
export const EndpointBadge = ({ endpoint }: { endpoint: WebhookEndpoint }) => {
  if (!endpoint.enabled) return <Badge of="webhook" tone="bad" word="Off" />;
  return endpoint.failingSince === undefined ? (
    <Badge of="webhook" tone="good" word="On" />
  ) : (
    <Badge of="webhook" tone="held" word="Failing" />
  );
};
