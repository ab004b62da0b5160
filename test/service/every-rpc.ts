import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type DescMethod, type DescService, getOption } from "@bufbuild/protobuf";
import { type Role, roles } from "../../src/domain/caller.ts";
import { AccessService } from "../../src/gen/callsheet/v1/access_service_pb.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { EventService } from "../../src/gen/callsheet/v1/event_service_pb.ts";
import { Role as ProtoRole, roles as rolesOption } from "../../src/gen/callsheet/v1/options_pb.ts";
import { SuppressionService } from "../../src/gen/callsheet/v1/suppression_service_pb.ts";
import { WebhookService } from "../../src/gen/callsheet/v1/webhook_service_pb.ts";
import { root } from "../support/readme.ts";

/** The services that need a key; a test holds them to the proto. */
export const services: readonly DescService[] = [
  BatchJobService,
  ContactWorkerService,
  AccessService,
  SuppressionService,
  EventService,
  WebhookService,
];

export const everyMethod: readonly DescMethod[] = services.flatMap(({ methods }) => methods);

/** Who may call it, as the proto says. */
export const rolesOf = (method: DescMethod): Role[] => {
  const option = getOption(method, rolesOption);
  return roles.filter(
    (role) => role === "admin" || option.includes(ProtoRole[role.toUpperCase() as keyof typeof ProtoRole]),
  );
};

const folder = join(root, "proto/callsheet/v1");

/** The names of the services that the proto has. */
export const servicesInProto = (): string[] =>
  readdirSync(folder).flatMap((file) =>
    [...readFileSync(join(folder, file), "utf8").matchAll(/^service (\w+)/gm)].map(([, name = ""]) => name),
  );
