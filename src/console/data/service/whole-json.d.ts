/** What writes messages as JSON, which the console has only where it shows some. */
declare module "virtual:whole-json" {
  export { toJson } from "@bufbuild/protobuf";
}
