import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createReadStream, createWriteStream, existsSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createBrotliDecompress } from "node:zlib";

/** A browser, and the environment that it needs. */
export type Chromium = { readonly executablePath: string; readonly env: Record<string, string> };

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/**
 * The browser that CHROMIUM names, or, on x86-64 Linux, the one that npm ci has brought along, which needs nothing of
 * the system but its C library and a quarter of the processor time of a whole Chromium. Elsewhere, one on the PATH.
 */
export async function findChromium(): Promise<Chromium> {
  const { CHROMIUM: named, PATH: path = "" } = process.env;
  const env = { HOME: "/tmp", PATH: path };
  if (named !== undefined) return { executablePath: named, env };
  if (process.platform === "linux" && process.arch === "x64") return await unpackedChromium();
  const installed = path.split(delimiter).flatMap((directory) => names.map((name) => join(directory, name)));
  const executablePath = installed.find((file) => existsSync(file));
  if (executablePath !== undefined) return { executablePath, env };
  throw new Error(
    "The console's tests need a browser: install Chromium (on Debian: apt-get install chromium), or set CHROMIUM to the path of Chrome or Chromium.",
  );
}

async function unpackedChromium(): Promise<Chromium> {
  const packed = dirname(dirname(fileURLToPath(import.meta.resolve("@sparticuz/chromium"))));
  const directory = join(packed, "unpacked");
  if (!existsSync(directory)) await unpack(join(packed, "bin"), directory);
  return {
    executablePath: join(directory, "chromium"),
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: directory,
      LD_LIBRARY_PATH: join(directory, "lib"),
      FONTCONFIG_FILE: join(directory, "fonts.conf"),
    },
  };
}

/** Two at once are harmless: each works in a directory of its own, and the first one's is kept. */
async function unpack(from: string, directory: string): Promise<void> {
  const fresh = `${directory}.${randomBytes(6).toString("hex")}`;
  await mkdir(fresh);
  await pipeline(
    createReadStream(join(from, "chromium.br")),
    createBrotliDecompress(),
    createWriteStream(join(fresh, "chromium"), { mode: 0o755 }),
  );
  for (const archive of ["al2023.tar", "fonts.tar"]) {
    const file = join(fresh, archive);
    await pipeline(
      createReadStream(join(from, `${archive}.br`)),
      createBrotliDecompress(),
      createWriteStream(file),
    );
    await promisify(execFile)("tar", ["-xf", file, "-C", fresh]);
    await rm(file);
  }
  await writeFile(
    join(fresh, "fonts.conf"),
    `<fontconfig><dir>${join(directory, "fonts")}</dir><cachedir>${join(directory, "cache")}</cachedir></fontconfig>`,
  );
  try {
    await rename(fresh, directory);
  } catch (error) {
    await rm(fresh, { recursive: true, force: true });
    if (!existsSync(directory)) throw error;
  }
}
