import type { DescService } from "@bufbuild/protobuf";
import { createServiceImplSpec, type ServiceImpl, type ServiceImplSpec } from "@connectrpc/connect";

/** One service with the functions that answer its methods. */
export type ServiceEntry = ServiceImplSpec;

/** What both listeners serve. */
export type ServiceTable = readonly ServiceEntry[];

/** Binds a service to its implementation; one that lacks a method does not compile. */
export const serviceEntry = <Desc extends DescService>(
  service: Desc,
  implementation: ServiceImpl<Desc>,
): ServiceEntry => createServiceImplSpec(service, implementation);
