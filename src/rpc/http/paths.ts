import type { IncomingMessage, ServerResponse } from "node:http";
import type { DescMethod } from "@bufbuild/protobuf";

/** What the HTTP port answers. */
export type ServedPath = {
  readonly method: string;
  /** `{…}` stands for one part of it, whatever that is. */
  readonly path: string;
  /** What is called there, whose roles count; nobody is asked for a key without one. */
  readonly rpc?: DescMethod;
};

/** What answers paths that it lists, and is asked for no others. */
export type Answerer = {
  readonly paths: readonly ServedPath[];
  /** Undefined if it leaves the request to others. Rejects if the answer could not be written. */
  answer(request: IncomingMessage, response: ServerResponse, settled: () => void): Promise<void> | undefined;
};

export const pathOf = ({ url = "" }: IncomingMessage): string => url.split("?", 1)[0] ?? "";

/** Finds a path in those of requests, and picks what its parts are there. */
export const patternOf = (path: string): RegExp =>
  new RegExp(`^${path.replaceAll(".", "\\.").replaceAll(/\{\w+\}/g, "([^/?]+)")}$`);
