// The health check of the image: ends well if the service beside it is ready, or as another page says that it is given.
// The service's certificate is taken as it is, since it names the service and not this address. Where the service asks
// its clients for certificates, it is shown its own; if it does not take that one, its answers are not to be had, and
// that it answers a handshake must do.
import { readFileSync } from "node:fs";
import { get as getHttp } from "node:http";
import { get as getHttps } from "node:https";
import { createSecureContext } from "node:tls";

const { PORT, BASE_PATH = "", TLS_CERT_FILE, TLS_KEY_FILE, TLS_CLIENT_CA_FILE } = process.env;
const [, , page = "/readyz"] = process.argv;
const get = TLS_CERT_FILE ? getHttps : getHttp;
const options = {
  port: Number(PORT || 8080),
  path: `${BASE_PATH}${page}`,
  rejectUnauthorized: false,
  timeout: 2_500,
  ...(TLS_CLIENT_CA_FILE ? readOwn() : {}),
};

/** The service's own pair; nothing while the files hold none, for it goes on with the one before. */
function readOwn() {
  try {
    const pair = { cert: readFileSync(TLS_CERT_FILE), key: readFileSync(TLS_KEY_FILE) };
    createSecureContext(pair);
    return pair;
  } catch {
    return {};
  }
}

const end = (isWell) => process.exit(isWell ? 0 : 1);
let isMet = false;
const asked = get(options, ({ statusCode }) => end(statusCode === 200));
asked.on("socket", (socket) => socket.on("secureConnect", () => (isMet = true)));
asked.on("timeout", () => end(false));
asked.on("error", () => {
  if (!TLS_CLIENT_CA_FILE || !isMet) end(false);
  process.stdout.write(
    `It answers. What ${page} says is not known: TLS_CLIENT_CA_FILE does not let in who shows TLS_CERT_FILE.\n`,
  );
  end(true);
});
