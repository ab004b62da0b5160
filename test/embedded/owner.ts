// Runs both embedded servers as the service does. On SIGINT it says whether they still work, stops them and ends.
import { once } from "node:events";
import { holdDataDirectory } from "../../src/embedded/data-directory.ts";
import { startEmbeddedPostgres } from "../../src/embedded/postgres/postgres.ts";
import { startEmbeddedRedis } from "../../src/embedded/redis/redis.ts";
import { command, query } from "./support.ts";

const [dataDirectory = "", packageDirectory = ""] = process.argv.slice(2);
const options = { dataDirectory, packageDirectory, say: () => {} };
const interrupted = once(process, "SIGINT");
const forever = setInterval(() => {}, 60_000);
{
  await using stack = new AsyncDisposableStack();
  stack.use(await holdDataDirectory(dataDirectory));
  const postgres = stack.use(await startEmbeddedPostgres(options));
  const redis = stack.use(await startEmbeddedRedis(options));
  process.stdout.write(`${JSON.stringify({ postgres: postgres.url, redis: redis.url })}\n`);
  await interrupted;
  const answers = [await query(postgres.url, "select 'postgres'"), await command(redis.url, "echo", "redis")];
  process.stdout.write(`${JSON.stringify(answers)}\n`);
}
clearInterval(forever);
