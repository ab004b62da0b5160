// Runs after npm install: builds the console where its build tool is there. Plain JavaScript, for whatever Node is there.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const directory = fileURLToPath(new URL(".", import.meta.url));

try {
  const { build } = await import("vite");
  await build({ configFile: `${directory}vite.config.ts`, logLevel: "warn" });
} catch (error) {
  if (error?.code !== "ERR_MODULE_NOT_FOUND") throw error;
  const left = existsSync(`${directory}dist/index.html`)
    ? "it stays as it was built before"
    : "the service runs without it";
  process.stderr.write(
    `The console is not built, because vite, a development dependency, is not installed; ${left}. ` +
      "To have it, run npm ci without --omit=dev, then npm prune --omit=dev.\n",
  );
}
