export { type ClientOptions, type Clients, createClients } from "./clients.ts";
export { codeOf } from "./repeats.ts";
export { rescheduleBatchJobs } from "./rescheduling.ts";
export * from "../gen/callsheet/v1/access_service_pb.ts";
export * from "../gen/callsheet/v1/batch_job_pb.ts";
export * from "../gen/callsheet/v1/batch_job_service_pb.ts";
export * from "../gen/callsheet/v1/contact_worker_service_pb.ts";
export { Role } from "../gen/callsheet/v1/options_pb.ts";
