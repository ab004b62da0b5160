import { type DescMethod, type DescService, getOption } from "@bufbuild/protobuf";
import {
  type ConnectError,
  type HandlerContext,
  type Interceptor,
  createContextKey,
} from "@connectrpc/connect";
import type { Authenticate } from "../../access/api-keys.ts";
import type { Limiter } from "../../access/rates.ts";
import { BatchJobError } from "../../domain/batch-job-error.ts";
import type { Caller, Role } from "../../domain/caller.ts";
import type { RateClass } from "../../domain/rates.ts";
import {
  type Role as ProtoRole,
  RateClass as ProtoRateClass,
  rate_class,
  roles as rolesOption,
} from "../../gen/callsheet/v1/options_pb.ts";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { protoRoles } from "../convert/convert.ts";
import type { Refused } from "./refusals.ts";

/** These need no API key; every other service does. */
const openServices: ReadonlySet<string> = new Set([
  Health.typeName,
  ServerReflection.typeName,
  ServerReflectionAlpha.typeName,
]);

export const needsKey = ({ typeName }: DescService): boolean => !openServices.has(typeName);

const rateClasses: Partial<Record<ProtoRateClass, RateClass>> = {
  [ProtoRateClass.READ]: "read",
  [ProtoRateClass.COMMAND]: "command",
  [ProtoRateClass.IMPORT]: "import",
  [ProtoRateClass.LEASE]: "lease",
};

const callerKey = createContextKey<Caller | undefined>(undefined);

/** Why a call is refused, where that was found out before it began. */
export const refusalKey = createContextKey<unknown>(undefined);

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
 * Lets a call pass if its API key is valid and has a role that the method declares in the proto, and if the
 * organization has not made as many calls of the method's class as it may. It says so of a call that it refuses, which
 * no interceptor sees.
 */
export function createGate(
  authenticate: Authenticate,
  options: {
    translate: (thrown: unknown) => ConnectError;
    refused: Refused;
    /** Nobody is limited without it. */
    limiter?: Pick<Limiter, "admit">;
  },
) {
  const { translate, refused, limiter } = options;
  return async (context: HandlerContext): Promise<void> => {
    if (!needsKey(context.service)) return;
    try {
      const refusal = context.values.get(refusalKey);
      if (refusal !== undefined) throw refusal;
      const caller = await authenticate(context.requestHeader.get("authorization"));
      const { roles, rateClass } = termsOf(context.method);
      checkRole(caller.role, roles, context);
      const later = rateClass && limiter?.admit(caller, rateClass);
      if (later !== undefined) await later;
      context.values.set(callerKey, caller);
    } catch (thrown) {
      const error = translate(thrown);
      refused(context, error);
      throw error;
    }
  };
}

type Terms = { readonly roles: readonly ProtoRole[]; readonly rateClass: RateClass | undefined };

/** Reading an option costs as much as finding the caller; each method has one answer for ever. */
const termsByMethod = new WeakMap<DescMethod, Terms>();

function termsOf(method: DescMethod): Terms {
  let terms = termsByMethod.get(method);
  if (terms === undefined) {
    terms = { roles: getOption(method, rolesOption), rateClass: rateClasses[getOption(method, rate_class)] };
    termsByMethod.set(method, terms);
  }
  return terms;
}

function checkRole(role: Role, allowed: readonly ProtoRole[], { method }: HandlerContext): void {
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
