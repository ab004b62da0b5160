declare module "swagger-ui-dist/swagger-ui-es-bundle.js" {
  const showDocument: (options: Readonly<Record<string, unknown>>) => unknown;

  export default showDocument;
}
