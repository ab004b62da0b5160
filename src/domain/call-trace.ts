/** The span of a call, where it is traced, as those see it who do the work. */
export type CallTrace = {
  /** W3C's `traceparent` of the span. */
  readonly traceparent: string;
  /** Says which batch job the call was about. */
  about(batchJobId: string): void;
  /** Says that the call follows from what had this `traceparent`; one that is none says nothing. */
  follows(traceparent: string): void;
};
