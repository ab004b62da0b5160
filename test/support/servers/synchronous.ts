import { eventually } from "../eventually.ts";

/**
 * Has commits wait for a standby, or for none if the name is empty. Whoever commits learns it from the checkpointer,
 * not from the settings; it takes them in before it does what it is asked for.
 */
export async function awaitStandby(
  query: (text: string) => Promise<readonly Record<string, unknown>[]>,
  name: string,
): Promise<void> {
  await query(`alter system set synchronous_standby_names = '${name}'`);
  await query("select pg_reload_conf()");
  await eventually(async () => {
    const [setting] = await query("show synchronous_standby_names");
    if (setting?.["synchronous_standby_names"] !== name) throw new Error("the settings are not read yet");
  });
  await query("checkpoint");
}
