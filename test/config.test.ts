import { describe, expect, test } from "vitest";
import { readConfig, unknownSettings } from "../src/config.ts";

const defaults = {
  DATABASE_POOL_SIZE: 16,
  REDIS_PREFIX: "callsheet",
  HOST: "127.0.0.1",
  PORT: 8080,
  GRPC_PORT: 50051,
  ALLOW_PLAINTEXT: false,
  LOG_LEVEL: "info",
  SHUTDOWN_TIMEOUT: 30_000,
  SHUTDOWN_DELAY: 0,
  CONNECTION_MAX_AGE: 1_800_000,
  KEEP_ALIVE_TIMEOUT: 65_000,
  LONGEST_WAIT: 60_000,
  IMPORT_MAX_BYTES: 1024 ** 3,
  IMPORT_TIMEOUT: 3_600_000,
  EXPORT_TIMEOUT: 600_000,
  RATE_READ: 0,
  RATE_COMMAND: 0,
  RATE_IMPORT: 0,
  RATE_LEASE: 0,
  ESTIMATED_CALL_SECONDS: 120_000,
  EVENT_RETENTION_DAYS: 30,
  WEBHOOK_ALLOW_INSECURE: false,
};

const longEnough = `cs_${"a".repeat(32)}`;

/** Every setting, and not as it is if not set. */
const allGiven = {
  DATABASE_URL: "postgresql://user:p%40ss@db.example:5432/callsheet?sslmode=require",
  DATABASE_DIRECT_URL: "postgres://user@db.example:5433/callsheet",
  DATABASE_POOL_SIZE: "100",
  REDIS_URL: "rediss://a:6379,rediss://b:6380",
  REDIS_CA_FILE: "/etc/callsheet/redis-ca.crt",
  REDIS_CERT_FILE: "/etc/callsheet/redis.crt",
  REDIS_KEY_FILE: "/etc/callsheet/redis.key",
  REDIS_PREFIX: "eu-1.callsheet_2",
  HOST: "0.0.0.0",
  TLS_CERT_FILE: "/etc/callsheet/tls.crt",
  TLS_KEY_FILE: "/etc/callsheet/tls.key",
  TLS_CLIENT_CA_FILE: "/etc/callsheet/clients.crt",
  ALLOW_PLAINTEXT: "false",
  BASE_PATH: "/apps/callsheet",
  CORS_ORIGINS: "https://app.example.com, http://localhost:5173",
  TRUST_PROXY: "10.0.0.0/8, fd00::/8",
  PORT: "0",
  GRPC_PORT: "65535",
  CALLSHEET_DATA_DIR: "data",
  CALLSHEET_BOOTSTRAP_API_KEY: longEnough,
  ERASURE_KEY: "e".repeat(32),
  LOG_LEVEL: "silent",
  SHUTDOWN_TIMEOUT: "0.5",
  SHUTDOWN_DELAY: "12",
  CONNECTION_MAX_AGE: "0",
  IMPORT_MAX_BYTES: "1000",
  RETENTION_DAYS: "90",
  EVENT_RETENTION_DAYS: "7",
  WEBHOOK_ALLOW_INSECURE: "true",
  WEBHOOK_ALLOWED_NETWORKS: "10.1.0.0/16, fd00::/8",
  IMPORT_TIMEOUT: "60",
  EXPORT_TIMEOUT: "90",
  RATE_READ: "1000",
  RATE_COMMAND: "200",
  RATE_IMPORT: "1",
  RATE_LEASE: "1000000",
  ESTIMATED_CALL_SECONDS: "90",
  KEEP_ALIVE_TIMEOUT: "610",
  LONGEST_WAIT: "50.5",
};

describe("a setting that is wrong is named in a sentence", () => {
  test.each([
    ["DATABASE_URL", "mysql://localhost/x"],
    ["DATABASE_URL", "localhost:5432"],
    ["DATABASE_DIRECT_URL", "localhost:5432"],
    ["DATABASE_POOL_SIZE", "5"],
    ["DATABASE_POOL_SIZE", "101"],
    ["DATABASE_POOL_SIZE", "2.5"],
    ["DATABASE_POOL_SIZE", "many"],
    ["REDIS_URL", "localhost:6379"],
    ["REDIS_URL", "http://localhost"],
    ["REDIS_URL", "redis://a,b"],
    ["REDIS_URL", "redis://a,"],
    ["REDIS_PREFIX", "call sheet"],
    ["REDIS_PREFIX", "{callsheet}"],
    ["REDIS_PREFIX", "a:b"],
    ["REDIS_PREFIX", "x".repeat(65)],
    ["PORT", "-1"],
    ["PORT", "65536"],
    ["PORT", "80.5"],
    ["PORT", "http"],
    ["PORT", "8080/tcp"],
    ["PORT", " "],
    ["PORT", "0x50"],
    ["HOST", "0.0.0.0"],
    ["HOST", "::"],
    ["HOST", "192.168.1.4"],
    ["HOST", "callsheet.internal"],
    ["ALLOW_PLAINTEXT", "yes"],
    ["BASE_PATH", "callsheet"],
    ["BASE_PATH", "/"],
    ["BASE_PATH", "/callsheet/"],
    ["BASE_PATH", "/a//b"],
    ["BASE_PATH", "/a/../b"],
    ["BASE_PATH", "/a?b"],
    ["BASE_PATH", "https://example.com/callsheet"],
    ["CORS_ORIGINS", "*"],
    ["CORS_ORIGINS", "app.example.com"],
    ["CORS_ORIGINS", "https://app.example.com/"],
    ["CORS_ORIGINS", "https://app.example.com/console"],
    ["CORS_ORIGINS", "https://app.example.com:443"],
    ["CORS_ORIGINS", "https://App.example.com"],
    ["CORS_ORIGINS", "https://*.example.com"],
    ["CORS_ORIGINS", "https://a.example,"],
    ["CORS_ORIGINS", "null"],
    ["TRUST_PROXY", "true"],
    ["TRUST_PROXY", "10.0.0.0/33"],
    ["TRUST_PROXY", "10.0.0/8"],
    ["TRUST_PROXY", "fd00::/129"],
    ["TRUST_PROXY", "10.0.0.0/8,"],
    ["TRUST_PROXY", "proxy.internal"],
    ["IMPORT_MAX_BYTES", "0"],
    ["IMPORT_MAX_BYTES", "1e9"],
    ["RATE_LEASE", "1000001"],
    ["RETENTION_DAYS", "0"],
    ["EVENT_RETENTION_DAYS", "0"],
    ["GRPC_PORT", "65536"],
    ["GRPC_PORT", "NaN"],
    ["CALLSHEET_BOOTSTRAP_API_KEY", "secret"],
    ["ERASURE_KEY", "e".repeat(31)],
    ["CALLSHEET_BOOTSTRAP_API_KEY", `cs_${"a".repeat(31)}`],
    ["CALLSHEET_BOOTSTRAP_API_KEY", `${longEnough} x`],
    ["CALLSHEET_BOOTSTRAP_API_KEY", `CS_${"a".repeat(32)}`],
    ["LOG_LEVEL", "verbose"],
    ["LOG_LEVEL", "INFO"],
    ["SHUTDOWN_TIMEOUT", "-1"],
    ["SHUTDOWN_TIMEOUT", "3601"],
    ["SHUTDOWN_TIMEOUT", "30s"],
    ["SHUTDOWN_TIMEOUT", "Infinity"],
    ["CONNECTION_MAX_AGE", "3601"],
    ["CONNECTION_MAX_AGE", "never"],
    ["CONNECTION_MAX_AGE", "1800s"],
    ["KEEP_ALIVE_TIMEOUT", "0"],
    ["IMPORT_TIMEOUT", "0"],
    ["EXPORT_TIMEOUT", "0.5"],
    ["EXPORT_TIMEOUT", "1e2"],
    ["LONGEST_WAIT", "-0"],
    ["RATE_READ", "99999999999999999999"],
    ["RETENTION_DAYS", "36501"],
    ["EVENT_RETENTION_DAYS", "36501"],
    ["WEBHOOK_ALLOW_INSECURE", "1"],
    ["WEBHOOK_ALLOWED_NETWORKS", "10.0.0.0-10.0.0.9"],
    ["WEBHOOK_ALLOWED_NETWORKS", "hooks.internal"],
    ["REDIS_URL", "redis://a,rediss://b"],
    ["HOST", "[::]"],
    ["HOST", "*"],
    ["HOST", "0.0.0.0:8080"],
    ["HOST", "http://0.0.0.0"],
    ["HOST", "::1::"],
  ])("%s=%j", (name, value) => {
    expect(() => readConfig({ [name]: value })).toThrow(new RegExp(`^${name}: [^\\n]+\\.$`));
  });

  const everyName = Object.keys(allGiven);

  test.each(everyName)("%s, blank, or in quotation marks as some files of settings leave them", (name) => {
    const right = Object.entries(allGiven).find(([one]) => one === name)?.[1] ?? "";
    for (const value of [" ", "\n", `"${right}"`, `'${right}'`])
      expect(() => readConfig({ ...allGiven, [name]: value })).toThrow(new RegExp(`^${name}: [^\\n]+\\.$`));
  });

  test.each([
    ["PORT", "65536", "must be a whole number from 0 to 65535"],
    ["SHUTDOWN_DELAY", "3601", "must be a number of seconds from 0 to 3600"],
    ["IMPORT_MAX_BYTES", "10000000000000", "must be a number of bytes from 1 to 9999999999999"],
    ["LOG_LEVEL", "warning", "must be one of trace, debug, info, warn, error, fatal, silent"],
  ])("with what would do: %s=%s", (name, value, sentence) => {
    expect(() => readConfig({ [name]: value })).toThrow(`${name}: ${sentence}.`);
  });

  test("and so is every other one that is wrong", () => {
    expect(() => readConfig({ PORT: "x", LOG_LEVEL: "loud", HOST: "localhost" })).toThrow(
      /^PORT: [^\n]+\.\nLOG_LEVEL: [^\n]+\.$/,
    );
  });

  test.each([
    ["CALLSHEET_BOOTSTRAP_API_KEY", "hunter2-hunter2"],
    ["ERASURE_KEY", "hunter2-hunter2"],
    ["DATABASE_URL", "postgresq://user:hunter2-hunter2@localhost/x"],
    ["REDIS_URL", "rediss//:hunter2-hunter2@localhost"],
  ])("without what it holds, which may be a secret: %s", (name, value) => {
    expect(() => readConfig({ [name]: value })).toThrow(expect.not.stringContaining("hunter2"));
  });
});

const fault = (name: string) =>
  new RegExp(`^${name}: is not a URL that can be read .* # as %23, [^\\n]+\\.$`);

describe("a password with a character that means something in a URL", () => {
  // As numbers these would name a host and a port instead.
  test.each(["a#b", "12#b", "a/b", "12/b", "a?b", "12?b", "1@2/3", "1@2?3", "1@2#3", "[@/a"])(
    "%s",
    (password) => {
      for (const [name, scheme] of [
        ["DATABASE_URL", "postgres"],
        ["REDIS_URL", "redis"],
      ] as const) {
        const read = () =>
          readConfig({ [name]: `${scheme}://hunter2-hunter2:${password}@db.example:5432/x` });
        expect(read).toThrow(fault(name));
        expect(read).toThrow(expect.not.stringContaining("hunter2"));
      }
    },
  );

  test.each(["a%b", "a%zz", "a%"])("%s, which only Postgres' driver takes as it is meant", (password) => {
    expect(() => readConfig({ REDIS_URL: `redis://:${password}@db.example` })).toThrow(fault("REDIS_URL"));
    const url = `postgres://user:${password}@db.example/x`;
    expect(readConfig({ DATABASE_URL: url }).DATABASE_URL).toBe(url.replace("%", "%25"));
  });

  test("a comma, which separates the nodes of a cluster", () => {
    expect(() => readConfig({ REDIS_URL: "redis://:a,b@db.example" })).toThrow(
      /^REDIS_URL: .* comma as %2C .*\.$/,
    );
  });

  test.each(["a@b", "a:b", "a+b", "a&b", "a[b", "%23%2F%3F%40%25%2C"])("%s does no harm", (password) => {
    const urls = {
      DATABASE_URL: `postgres://user:${password}@db.example/x?application_name=y`,
      REDIS_URL: `redis://:${password}@db.example:6379/0`,
    };
    expect(readConfig(urls)).toMatchObject(urls);
  });

  test.each([
    "postgres:///x?host=/run/postgresql",
    "postgres://user@/x?host=/tmp",
    "postgres://%2Ftmp/x",
    "postgres://",
  ])("%s, a socket or the default, is left to the driver", (url) =>
    expect(readConfig({ DATABASE_URL: url }).DATABASE_URL).toBe(url),
  );
});

describe("settings", () => {
  test("have defaults", () => {
    expect(readConfig({})).toEqual(defaults);
  });

  test("that are empty count as not set", () => {
    const names = ["DATABASE_URL", "REDIS_URL", "CALLSHEET_DATA_DIR", "CALLSHEET_BOOTSTRAP_API_KEY"];
    const empty = Object.fromEntries([...names, ...Object.keys(defaults)].map((name) => [name, ""]));
    expect(readConfig(empty)).toEqual(defaults);
  });

  test("that are somebody else's do not matter", () => {
    expect(readConfig({ PATH: "/bin", PORTS: "x", port: "x" })).toEqual(defaults);
  });

  test("are read from text", () => {
    expect(readConfig(allGiven)).toEqual({
      ...allGiven,
      DATABASE_URL: `${allGiven.DATABASE_URL}&uselibpqcompat=true`,
      ALLOW_PLAINTEXT: false,
      CORS_ORIGINS: ["https://app.example.com", "http://localhost:5173"],
      TRUST_PROXY: { has: expect.any(Function) },
      DATABASE_POOL_SIZE: 100,
      PORT: 0,
      GRPC_PORT: 65_535,
      SHUTDOWN_TIMEOUT: 500,
      SHUTDOWN_DELAY: 12_000,
      CONNECTION_MAX_AGE: 0,
      IMPORT_MAX_BYTES: 1000,
      RETENTION_DAYS: 90,
      EVENT_RETENTION_DAYS: 7,
      WEBHOOK_ALLOW_INSECURE: true,
      WEBHOOK_ALLOWED_NETWORKS: { has: expect.any(Function) },
      IMPORT_TIMEOUT: 60_000,
      EXPORT_TIMEOUT: 90_000,
      RATE_READ: 1_000,
      RATE_COMMAND: 200,
      RATE_IMPORT: 1,
      RATE_LEASE: 1_000_000,
      ESTIMATED_CALL_SECONDS: 90_000,
      KEEP_ALIVE_TIMEOUT: 610_000,
      LONGEST_WAIT: 50_500,
    });
  });
});

test("blanks and line ends around a setting are no part of it", () => {
  const wrapped = Object.entries(allGiven).map(([name, value]) => [name, ` ${value}\r\n`]);
  expect(JSON.stringify(readConfig(Object.fromEntries(wrapped)))).toBe(JSON.stringify(readConfig(allGiven)));
});

describe("settings that go together", () => {
  test.each([
    [{ PORT: "9000", GRPC_PORT: "9000" }, /^GRPC_PORT: must be another one than PORT, which is 9000 too\.$/],
    [{ GRPC_PORT: "8080" }, /^GRPC_PORT: must be another one than PORT/],
    [{ DATABASE_DIRECT_URL: "postgres://a/b" }, /^DATABASE_URL: must be given too/],
    [{ REDIS_CA_FILE: "a" }, /^REDIS_URL: must be given too, and begin with rediss: REDIS_CA_FILE /],
    [{ REDIS_KEY_FILE: "a" }, /^REDIS_URL: must be given too, and begin with rediss: REDIS_KEY_FILE /],
    [{ TLS_CERT_FILE: "a" }, /^TLS_KEY_FILE: must be given too/],
    [{ TLS_KEY_FILE: "a" }, /^TLS_CERT_FILE: must be given too/],
    [{ TLS_CLIENT_CA_FILE: "a" }, /^TLS_KEY_FILE: must be given too/],
    [
      { HOST: "0.0.0.0" },
      /^HOST: 0\.0\.0\.0 .* in plain text\. Set TLS_CERT_FILE and TLS_KEY_FILE or, .*ALLOW_PLAINTEXT=true\.$/,
    ],
    [{ HOST: "0.0.0.0", ALLOW_PLAINTEXT: "false" }, /^HOST: /],
  ])("%o is refused", (given, sentence) => {
    expect(() => readConfig(given)).toThrow(sentence);
  });

  test.each([
    { HOST: "0.0.0.0", ALLOW_PLAINTEXT: "true" },
    { HOST: "0.0.0.0", TLS_CERT_FILE: "a", TLS_KEY_FILE: "b" },
    { HOST: "localhost" },
    { HOST: "localhost", PORT: "0", GRPC_PORT: "0" },
    { HOST: "127.8.0.1" },
    { HOST: "::1" },
    { HOST: "::ffff:127.0.0.1" },
  ])("%o is taken", (given) => {
    expect(readConfig(given).HOST).toBe(given.HOST);
  });
});

/** What Kubernetes sets for a Service with one port. */
const links = (service: string, port: string) => ({
  [`${service}_SERVICE_HOST`]: "10.96.0.7",
  [`${service}_SERVICE_PORT`]: port,
  [`${service}_SERVICE_PORT_HTTP`]: port,
  [`${service}_PORT`]: `tcp://10.96.0.7:${port}`,
  [`${service}_PORT_${port}_TCP`]: `tcp://10.96.0.7:${port}`,
  [`${service}_PORT_${port}_TCP_PROTO`]: "tcp",
  [`${service}_PORT_${port}_TCP_PORT`]: port,
  [`${service}_PORT_${port}_TCP_ADDR`]: "10.96.0.7",
});

describe("a variable that is no setting", () => {
  test.each([
    ["CALLSHEET_DATA_DIRECTORY", "CALLSHEET_DATA_DIR"],
    ["CALLSHEET_API_KEY", "CALLSHEET_BOOTSTRAP_API_KEY"],
    ["CALLSHEET_PORT", "PORT"],
    ["CALLSHEET_LOG_LEVEL", "LOG_LEVEL"],
    ["CALLSHEET_DATABASE_URL", "DATABASE_URL"],
    ["DATABASE_URI", "DATABASE_URL"],
    ["DATABASE_POOLSIZE", "DATABASE_POOL_SIZE"],
    ["REDIS_URI", "REDIS_URL"],
    ["LOGLEVEL", "LOG_LEVEL"],
    ["DATA_DIR", "CALLSHEET_DATA_DIR"],
    ["TLS_KEY_FILES", "TLS_KEY_FILE"],
  ])("is told with the setting that it is like, and without what it holds: %s", (name, setting) => {
    expect(unknownSettings({ [name]: "hunter2" })).toEqual([
      `${name} is no setting, and is ignored; the nearest one is ${setting}.`,
    ]);
  });

  test("is not told where it is somebody else's", () => {
    expect(unknownSettings({ ...allGiven, DATABASE_URI: "x", LOGLEVEL: "x", REDIS_URI: "x" })).toEqual([]);
    const others =
      "PATH HOSTNAME PGPORT HTTP_PORT DATABASE_HOST DATABASE_USER REDIS_HOST TLS_CERT OTEL_LOG_LEVEL TLS_CA_FILE port";
    const environment = Object.fromEntries(others.split(" ").map((name) => [name, "x"]));
    expect(unknownSettings({ ...environment, CALLSHEET_: "", CALLSHEET_DATA_DIRECTORY: "" })).toEqual([]);
  });

  test("is what Kubernetes sets for Services named callsheet and callsheet-grpc, and is no fault", () => {
    const environment = { ...links("CALLSHEET", "8080"), ...links("CALLSHEET_GRPC", "50051") };
    expect(unknownSettings(environment)).toEqual([]);
    expect(readConfig(environment)).toEqual(defaults);
  });
});
