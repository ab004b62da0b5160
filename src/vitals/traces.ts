import {
  type Attributes,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
} from "@opentelemetry/api";
import type { Logger } from "pino";
import type { CallTrace } from "../domain/call-trace.ts";
import { patiently } from "../timing/patience.ts";

/** A span that has begun, and that is told where it is sampled. */
export type OpenSpan = {
  /** What may be taken along from here; undefined if the span is not sampled. */
  readonly trace: CallTrace | undefined;
  set(attributes: Attributes): void;
  /** Ends it, with the name of the error if there was one; `isFault` if that is this service's. */
  end(error?: { name: string; isFault: boolean }): void;
};

export type Traces = AsyncDisposable & {
  /** Begins the span of a call, in the trace that its headers name, if they do. */
  beginCall(name: string, headers: Headers, attributes: Attributes): OpenSpan;
  /** Begins the span of a request that this service makes of its own accord. */
  beginRequest(name: string, attributes: Attributes): OpenSpan;
  /** Begins the span of something that nobody waits for. */
  beginOwn(name: string, attributes: Attributes): OpenSpan;
};

/** So long a replica that ends tries to get rid of its last spans. */
const farewellMs = 2_000;

const isSet = (value: string | undefined): boolean => value !== undefined && value !== "";

/** True if the environment names a receiver, in the variables that every OpenTelemetry SDK reads. */
export const isTracingWanted = (environment: NodeJS.ProcessEnv): boolean =>
  environment["OTEL_SDK_DISABLED"]?.toLowerCase() !== "true" &&
  environment["OTEL_TRACES_EXPORTER"] !== "none" &&
  (isSet(environment["OTEL_EXPORTER_OTLP_ENDPOINT"]) ||
    isSet(environment["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]));

async function loadSdk() {
  try {
    const [core, resources, base, otlp] = await Promise.all([
      import("@opentelemetry/core"),
      import("@opentelemetry/resources"),
      import("@opentelemetry/sdk-trace-base"),
      import("@opentelemetry/exporter-trace-otlp-proto"),
    ]);
    return { ...core, ...resources, ...base, ...otlp };
  } catch (cause) {
    throw new Error(
      "OTEL_EXPORTER_OTLP_ENDPOINT is set, and the optional dependencies that send traces are not installed: install them as docs/operating.md says, or leave it out.",
      { cause },
    );
  }
}

/** Says once that a receiver fails, and once that it is there again. */
function sayOnce(logger: Logger) {
  let isFailing = false;
  return (error: Error | undefined, isSent: boolean): void => {
    if (isSent === !isFailing) return;
    isFailing = !isSent;
    if (isSent) logger.info("Traces are received again");
    else logger.warn({ err: error }, "Traces are not received; those that cannot wait are dropped");
  };
}

/** What sends traces; it is configured by the OTEL_ variables of its environment. */
export async function openTraces({ logger }: { logger: Logger }): Promise<Traces> {
  const sdk = await loadSdk();
  const propagator = new sdk.W3CTraceContextPropagator();
  const exporter = new sdk.OTLPTraceExporter();
  const say = sayOnce(logger);
  const watched: Pick<typeof exporter, "export" | "shutdown" | "forceFlush"> = {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        say(result.error, result.error === undefined);
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush(),
  };
  const named = sdk.resourceFromAttributes({ "service.name": "callsheet" });
  const resource = named.merge(sdk.detectResources({ detectors: [sdk.envDetector] }));
  const provider = new sdk.BasicTracerProvider({
    resource: sdk.defaultResource().merge(resource),
    spanProcessors: [new sdk.BatchSpanProcessor(watched)],
  });
  const tracer = provider.getTracer("callsheet");

  function open(span: Span): OpenSpan {
    const { traceId, spanId, traceFlags } = span.spanContext();
    const isSampled = (traceFlags & TraceFlags.SAMPLED) !== 0;
    const ours = {
      traceparent: `00-${traceId}-${spanId}-01`,
      about: (batchJobId: string) => void span.setAttribute("callsheet.batch_job.id", batchJobId),
      follows(traceparent: string) {
        const context = sdk.parseTraceParent(traceparent);
        if (context !== null) span.addLink({ context });
      },
    };
    return {
      trace: isSampled ? ours : undefined,
      set: (attributes) => void span.setAttributes(attributes),
      end(error) {
        if (error !== undefined) {
          span.setAttribute("error.type", error.name);
          if (error.isFault) span.setStatus({ code: SpanStatusCode.ERROR });
        }
        span.end();
      },
    };
  }

  return {
    beginCall(name, headers, attributes) {
      const caller = propagator.extract(ROOT_CONTEXT, headers, {
        get: (carrier, key) => carrier.get(key) ?? undefined,
        keys: (carrier) => [...carrier.keys()],
      });
      return open(tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, caller));
    },
    beginRequest: (name, attributes) =>
      open(tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes, root: true }, ROOT_CONTEXT)),
    beginOwn: (name, attributes) => open(tracer.startSpan(name, { attributes, root: true }, ROOT_CONTEXT)),
    async [Symbol.asyncDispose]() {
      await patiently(farewellMs, provider.shutdown(), () => new Error("the receiver is slow")).catch(
        () => {},
      );
    },
  };
}
