import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { runCommand } from "./access/command-line.ts";
import { keysCommand } from "./access/keys.ts";
import { organizationsCommand } from "./access/organizations.ts";
import { doctorCommand } from "./doctor/doctor.ts";
import { runService } from "./main.ts";

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../package.json"), "utf8")) as {
  version: string;
};

/** The program `callsheet` of the npm package: the service, and the commands beside it. */
const callsheet = new Command("callsheet")
  .description("Batch-calling job service. Its settings are environment variables.")
  .version(version)
  .addCommand(
    new Command("start")
      .description("runs the service until a signal comes; this is also what no command at all does")
      // What is no command is given to the one that runs where none is named.
      .allowExcessArguments()
      .action(async (_, { args: [word] }: Command) => {
        if (word === undefined) return await runService();
        throw new Error(`There is no command ${word}; callsheet --help shows those that there are.`);
      }),
    { isDefault: true },
  )
  .addCommand(keysCommand())
  .addCommand(organizationsCommand())
  .addCommand(doctorCommand());

await runCommand(callsheet);
