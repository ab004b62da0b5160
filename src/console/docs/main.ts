import "swagger-ui-dist/swagger-ui.css";
import showDocument from "swagger-ui-dist/swagger-ui-es-bundle.js";

// Nothing is asked of anybody else, and the address of this page cannot have it show another document. A key is
// forgotten with the page.
showDocument({
  dom_id: "#docs",
  url: "openapi.json",
  validatorUrl: null,
  queryConfigEnabled: false,
  persistAuthorization: false,
  tryItOutEnabled: true,
  docExpansion: "list",
});
