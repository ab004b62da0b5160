import { type DescMethod, type DescService, getOption } from "@bufbuild/protobuf";
import {
  type ConnectError,
  type HandlerContext,
  type Interceptor,
  createContextKey,
} from "@connectrpc/connect";
import type { Authenticate } from "../access/api-keys.ts";
import { BatchJobError } from "../domain/batch-job-error.ts";
import type { Caller, Role } from "../domain/caller.ts";
import { type Role as ProtoRole, roles as rolesOption } from "../gen/callsheet/v1/options_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { protoRoles } from "./convert.ts";
import type { Refused } from "./refusals.ts";

/** These need no API key; every other service does. */
const openServices: ReadonlySet<string> = new Set([
  Health.typeName,
  ServerReflection.typeName,
  ServerReflectionAlpha.typeName,
]);

export const needsKey = ({ typeName }: DescService): boolean => !openServices.has(typeName);

const callerKey = createContextKey<Caller | undefined>(undefined);

/** Who is calling. Every method that needs an API key has a caller by the time its handler runs. */
export function callerOf(context: Pick<HandlerContext, "values">): Caller {
  const caller = context.values.get(callerKey);
  if (caller === undefined) throw new Error("a method without authentication asked for its caller");
  return caller;
}

/** The caller, where there is one already. */
export const maybeCallerOf = (context: Pick<Parameters<ReturnType<Interceptor>>[0], "contextValues">) =>
  context.contextValues.get(callerKey);

/**
 * Lets a call pass if its API key is valid and has a role that the method declares in the proto. It says so of a call
 * that it refuses, which no interceptor sees.
 */
export function createGate(
  authenticate: Authenticate,
  watchers: { translate: (thrown: unknown) => ConnectError; refused: Refused },
) {
  const { translate, refused } = watchers;
  return async (context: HandlerContext): Promise<void> => {
    if (!needsKey(context.service)) return;
    try {
      const caller = await authenticate(context.requestHeader.get("authorization"));
      checkRole(caller.role, context);
      context.values.set(callerKey, caller);
    } catch (thrown) {
      const error = translate(thrown);
      refused(context, error);
      throw error;
    }
  };
}

/** Reading an option costs as much as finding the caller; each method has one answer for ever. */
const rolesByMethod = new WeakMap<DescMethod, readonly ProtoRole[]>();

function rolesOf(method: DescMethod): readonly ProtoRole[] {
  let roles = rolesByMethod.get(method);
  if (roles === undefined) {
    roles = getOption(method, rolesOption);
    rolesByMethod.set(method, roles);
  }
  return roles;
}

function checkRole(role: Role, { method }: HandlerContext): void {
  const allowed = rolesOf(method);
  if (role === "admin" || allowed.includes(protoRoles[role])) return;
  const names = Object.entries(protoRoles).flatMap(([name, value]) =>
    name === "admin" || allowed.includes(value) ? [name] : [],
  );
  throw new BatchJobError(
    "permission_denied",
    `A key with the role ${role} may not call ${method.name}; use one with a role of ${names.join(", ")}.`,
    { role, allowedRoles: names.join(",") },
  );
}
