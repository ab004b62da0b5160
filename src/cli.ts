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
      .allowExcessArguments()
      .action(async (_options, { args: [word] }: Command) => {
        if (word !== undefined) return refuse(word);
        await runService();
      }),
    { isDefault: true },
  )
  .addCommand(keysCommand())
  .addCommand(organizationsCommand())
  .addCommand(doctorCommand());

/** What is no command comes to the one that needs no name. */
function refuse(word: string): void {
  if (callsheet.args[0] === "start") callsheet.error(`error: start takes no argument, and got '${word}'`);
  const names = callsheet.commands.map((command) => command.name());
  callsheet.error(
    `error: unknown command '${word}': the commands are ${names.slice(0, -1).join(", ")} and ${names.at(-1)}`,
  );
}

await runCommand(callsheet);
