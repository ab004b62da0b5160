// Runs after npm install, and before the tests: builds the console, where its build tool is there. Plain JavaScript,
// for whatever Node is there.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const directory = fileURLToPath(new URL(".", import.meta.url));

async function loadVite() {
  try {
    return await import("vite");
  } catch (error) {
    const reason = error?.code === "ERR_MODULE_NOT_FOUND" ? "is not installed" : "does not run";
    const rest = existsSync(`${directory}dist/index.html`)
      ? "it stays as it was built before"
      : "without it the service runs, and says so at /";
    process.stderr.write(
      `The console is not built, because vite, a development dependency, ${reason}; ${rest}. ` +
        "To build it run npm ci with nothing left out; npm prune --omit=dev afterwards keeps it.\n",
    );
    return undefined;
  }
}

const vite = await loadVite();
await vite?.build({ configFile: `${directory}vite.config.ts`, logLevel: "warn" });
