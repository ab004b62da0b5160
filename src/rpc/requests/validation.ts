import { type DescMessage, type Message, create } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { type Violation, createValidator } from "@bufbuild/protovalidate";
import type { Interceptor } from "@connectrpc/connect";
import { BatchJobError } from "../../domain/batch-job-error.ts";
import { type FieldViolation, toConnectError } from "../errors.ts";
import type { ServiceTable } from "../services/service-table.ts";

/** The rule's own words, but for patterns, of which the API has one kind. */
const describe = ({ ruleId, message }: Violation): string =>
  ruleId === "string.pattern" ? "must hold no control characters" : message;

const expressions = new Map<string, RegExp>();

/**
 * Whether a text is as a pattern of the proto says. Each of them names the characters that a text may hold, which
 * JavaScript's own expressions find in one look at each; those that the validator brings along take many times as long.
 */
export function matches(pattern: string, text: string): boolean {
  const known = expressions.get(pattern);
  if (known !== undefined) return known.test(text);
  const made = new RegExp(pattern, "u");
  expressions.set(pattern, made);
  return made.test(text);
}

/** A refusal shows no more. */
const mostViolations = 20;

function refuse(violations: readonly Violation[]): never {
  const fields: FieldViolation[] = violations.slice(0, mostViolations).map((violation) => ({
    field: pathToString(violation.field),
    description: describe(violation),
  }));
  const [first = { field: "", description: "" }] = fields;
  const others = violations.length - fields.length;
  const more = others > 0 ? ` ${others} more violations are not shown.` : "";
  const message = `The request's field ${first.field} is wrong: ${first.description}.${more}`;
  throw toConnectError(new BatchJobError("invalid_argument", message, { field: first.field }), fields);
}

/**
 * Refuses requests that break the rules in the proto: an ErrorInfo for the first field, a BadRequest for the first 20.
 */
export function validationInterceptor(services: ServiceTable): Interceptor {
  const validator = createValidator({ regexMatch: matches });
  // The first look at a message type costs up to 0.4 s; it is paid here, not by the first caller.
  for (const { method } of services.flatMap(({ methods }) => Object.values(methods))) {
    validator.validate(method.input, create(method.input));
  }

  function check(schema: DescMessage, message: Message): void {
    const result = validator.validate(schema, message);
    if (result.kind === "invalid") refuse(result.violations);
    if (result.kind === "error") throw result.error;
  }

  async function* checkEach<M extends Message>(schema: DescMessage, messages: AsyncIterable<M>) {
    for await (const message of messages) {
      check(schema, message);
      yield message;
    }
  }

  return (next) => async (request) => {
    if (request.stream)
      return await next({ ...request, message: checkEach(request.method.input, request.message) });
    check(request.method.input, request.message);
    return await next(request);
  };
}
