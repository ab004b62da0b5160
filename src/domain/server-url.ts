/**
 * What is wrong with the URL of a server; undefined if it can be read as it was meant. A user name or password that
 * holds one of these characters as it is makes a URL that is none, or one that names another server.
 */
const advice =
  "write # as %23, / as %2F, ? as %3F, @ as %40, % as %25 and a comma as %2C in its user name and password";

/** The host ends before the first of `/?#`: what looks like more of it after that was meant for the password. */
const namesAnother = (url: string): boolean => /[#@]/.test(url.replace(/^\w+:\/\/[^/?#]*/, ""));

export function databaseUrlFault(url: string): string | undefined {
  const authority = /^\w+:\/\/([^/?#]*)/.exec(url)?.[1] ?? "";
  const hosts = authority.slice(authority.lastIndexOf("@") + 1);
  if (hosts.includes(",") || /[?&]host=[^&]*(,|%2C)/i.test(url)) {
    return "names several hosts; it must name one, which always leads to the primary: the address of a proxy, or one that moves";
  }
  if (/^\w+:\/\/[^/?#]*\/[^?#]*%(23|3F)/i.test(url)) {
    return "names a database with # or ? in its name, which the driver of Postgres does not read; rename the database";
  }
  // Without a host a Unix socket is meant, which only the driver understands.
  const isUrl = URL.canParse(url.replace("@/", "@localhost/"));
  if (!isUrl || namesAnother(url)) return `is not a URL that can be read as it was meant; ${advice}`;
  return tlsFault(new URL(url.replace("@/", "@localhost/")).searchParams);
}

/** How a connection to Postgres is kept from others: what libpq means by it, but for what would go on without TLS. */
export const tlsModes = ["disable", "require", "verify-ca", "verify-full"] as const;

function tlsFault(asked: URLSearchParams): string | undefined {
  const mode = asked.get("sslmode");
  if (mode === null) return undefined;
  if (mode === "prefer" || mode === "allow") {
    return `has sslmode=${mode}, which would go on without TLS where somebody takes it away; write sslmode=require, verify-ca or verify-full, or disable`;
  }
  // The driver's own word for require.
  if (mode !== "no-verify" && !tlsModes.some((one) => one === mode)) {
    return `has an sslmode that there is not; it must be one of ${tlsModes.join(", ")}`;
  }
  const authority = asked.get("sslrootcert");
  if (mode === "verify-ca" && authority === null) {
    return "has sslmode=verify-ca without sslrootcert, the file of the CA that is trusted; add it, or write sslmode=verify-full";
  }
  if (authority === "system" && mode !== "verify-full") {
    return "trusts every known CA (sslrootcert=system), which is enough only with sslmode=verify-full";
  }
  return undefined;
}

/** Of one server, of the nodes of a cluster, separated by commas, or of Sentinels and the master that they watch. */
export function redisUrlFault(urls: string): string | undefined {
  if (sentinelScheme.test(urls)) {
    const [user = "", hosts = ""] = authorityOf(urls);
    const names = hosts.split(",").map((host) => `redis://${user}${host}`);
    const fault = names.map(redisUrlFault).find((found) => found !== undefined);
    if (fault !== undefined) return fault;
    if (/^[^/?#]+\/[\w.-]+(\/\d*)?(\?[^#]*)?$/.test(urls.replace(sentinelScheme, ""))) return undefined;
    return "names Sentinels, and so must go on with the name of their master, as redis+sentinel://a:26379,b:26379/mymaster or …/mymaster/0";
  }
  const nodes = urls.split(",").map((url) => url.trim());
  if (!nodes.every((url) => /^rediss?:\/\/./.test(url))) {
    return `must be a redis:// URL, several separated by commas, or redis+sentinel://HOSTS/MASTER; ${advice}`;
  }
  if (new Set(nodes.map((url) => url.startsWith("rediss"))).size > 1) {
    return "names nodes with TLS and nodes without; all must begin with rediss://, or all with redis://";
  }
  const areUrls = nodes.every((url) => URL.canParse(url) && !namesAnother(url) && isDecodable(new URL(url)));
  return areUrls ? undefined : `is not a URL that can be read as it was meant; ${advice}`;
}

const sentinelScheme = /^rediss?\+sentinel:\/\//;

/** What stands before the hosts, with its @, and the hosts. */
function authorityOf(url: string): string[] {
  const authority = url.replace(/^[\w+]+:\/\//, "").split(/[/?#]/, 1)[0] ?? "";
  const at = authority.lastIndexOf("@") + 1;
  return [authority.slice(0, at), authority.slice(at)];
}

type Login = { readonly username?: string; readonly password?: string };

const login = (username: string, password: string): Login => ({
  ...(username === "" ? {} : { username }),
  ...(password === "" ? {} : { password }),
});

/** Where the Sentinels are, what they call the master, and who we are to it and to them. */
export type SentinelAddress = {
  readonly sentinels: readonly { readonly host: string; readonly port: number }[];
  readonly name: string;
  readonly db: number;
  readonly isTls: boolean;
  readonly master: Login;
  readonly sentinel: Login;
};

/** Reads a URL of Sentinels without a fault; undefined for any other. */
export function readSentinelUrl(url: string): SentinelAddress | undefined {
  if (!sentinelScheme.test(url)) return undefined;
  const [user = "", hosts = ""] = authorityOf(url);
  const one = new URL(`redis://${user}sentinels${url.replace(/^[\w+]+:\/\/[^/]*/, "")}`);
  const [, name = "", db = ""] = one.pathname.split("/");
  return {
    sentinels: hosts.split(",").map((host) => {
      const { hostname, port } = new URL(`redis://${host.trim()}`);
      return { host: hostname.replace(/^\[(.+)\]$/, "$1"), port: Number(port || 26_379) };
    }),
    name,
    db: Number(db),
    isTls: url.startsWith("rediss"),
    master: login(decodeURIComponent(one.username), decodeURIComponent(one.password)),
    sentinel: login(
      one.searchParams.get("sentinel_username") ?? "",
      one.searchParams.get("sentinel_password") ?? "",
    ),
  };
}

function isDecodable({ username, password }: URL): boolean {
  try {
    decodeURIComponent(`${username}:${password}`);
    return true;
  } catch {
    return false;
  }
}
