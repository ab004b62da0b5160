/**
 * What is wrong with the URL of a server; undefined if it can be read as it was meant. A user name or password that
 * holds one of these characters as it is makes a URL that is none, or one that names another server.
 */
const advice =
  "write # as %23, / as %2F, ? as %3F, @ as %40, % as %25 and a comma as %2C in its user name and password";

/** The host ends before the first of `/?#`: what looks like more of it after that was meant for the password. */
const namesAnother = (url: string): boolean => /[#@]/.test(url.replace(/^\w+:\/\/[^/?#]*/, ""));

export function databaseUrlFault(url: string): string | undefined {
  // Without a host a Unix socket is meant, which only the driver understands.
  const isUrl = URL.canParse(url.replace("@/", "@localhost/"));
  return isUrl && !namesAnother(url) ? undefined : `is not a URL that can be read as it was meant; ${advice}`;
}

/** Of one server, or of the nodes of a cluster, separated by commas. */
export function redisUrlFault(urls: string): string | undefined {
  const nodes = urls.split(",").map((url) => url.trim());
  if (!nodes.every((url) => /^rediss?:\/\/./.test(url))) {
    return `must be a redis:// URL, or several separated by commas; ${advice}`;
  }
  const areUrls = nodes.every((url) => URL.canParse(url) && !namesAnother(url) && isDecodable(new URL(url)));
  return areUrls ? undefined : `is not a URL that can be read as it was meant; ${advice}`;
}

function isDecodable({ username, password }: URL): boolean {
  try {
    decodeURIComponent(`${username}:${password}`);
    return true;
  } catch {
    return false;
  }
}
