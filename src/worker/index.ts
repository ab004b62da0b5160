export { type CallResult, type PlaceCall, type WorkerOptions, runWorker } from "./run-worker.ts";
export { Outcome } from "../gen/callsheet/v1/batch_job_pb.ts";
export type { LeasedContact } from "../gen/callsheet/v1/contact_worker_service_pb.ts";
