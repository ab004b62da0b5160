// Holds the data directory given as its argument until it is killed.
import { holdDataDirectory } from "../../src/embedded/data-directory.ts";

const [directory = ""] = process.argv.slice(2);
const hold = await holdDataDirectory(directory);
process.stdout.write("held\n");
setInterval(() => hold, 60_000);
