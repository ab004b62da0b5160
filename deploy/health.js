// The health check of the image: ends well if the service beside it is ready. Its certificate is taken as it is, since it
// names the service and not this address. Where it asks its clients for certificates, that it takes connections must do.
import { get as getHttp } from "node:http";
import { get as getHttps } from "node:https";
import { connect } from "node:net";

const { PORT, BASE_PATH, TLS_CERT_FILE, TLS_CLIENT_CA_FILE } = process.env;
const port = Number(PORT || 8080);
const options = { port, path: `${BASE_PATH ?? ""}/readyz`, rejectUnauthorized: false, timeout: 2_500 };

const end = (isWell) => process.exit(isWell ? 0 : 1);
const asked = TLS_CLIENT_CA_FILE
  ? connect(port, "127.0.0.1", () => end(true))
  : (TLS_CERT_FILE ? getHttps : getHttp)(options, ({ statusCode }) => end(statusCode === 200));
asked.on("error", () => end(false));
asked.on("timeout", () => end(false));
