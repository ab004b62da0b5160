/** What the driver would leave encoded in the name of a database, and reads where it stands as it is. */
const readAsItIs = /%(24|26|2B|2C|2F|3A|3B|3D|40)/gi;

/**
 * The URL of a database as the driver must be given it to read it as libpq does, in this version and the next. By its
 * sslmode, `require` asks for TLS and trusts any certificate, unless a CA is named; `verify-ca` trusts what that CA has
 * signed; `verify-full` looks at the name too, and without a CA trusts those that Node trusts. Without an sslmode there
 * is no TLS, but with a CA it is `verify-full`.
 */
export function driverUrl(url: string): string {
  // Of a URL with a character that should have been encoded, the driver encodes some a second time.
  const encoded = url.replaceAll(/%(?![0-9a-f]{2})/gi, "%25").replaceAll(" ", "%20");
  const [, server = "", name = "", query = ""] = /^(\w+:\/\/[^/?#]*)([^?#]*)(.*)$/s.exec(encoded) ?? [];
  const asked = query.replace(/([?&])sslrootcert=system(?=&|$)/, "$1sslrootcert=");
  const isMeantAsInLibpq = /[?&]sslmode=(?!no-verify)/.test(asked) && !/[?&]uselibpqcompat=/.test(asked);
  return `${server}${name.replaceAll(readAsItIs, decodeURIComponent)}${asked}${isMeantAsInLibpq ? "&uselibpqcompat=true" : ""}`;
}
