/*
 * Files that settings name are read only if they are files, and opened without waiting: a pipe would be waited for
 * without end.
 */

const reasons: Record<string, string> = {
  ENOENT: "there is no such file",
  EACCES: "this user may not read it",
  ENXIO: "it is no regular file",
};

/** Why a file could not be read, to stand behind what says so. */
export function fileFaultOf(error: unknown): string {
  const { code = "", message } = error as { code?: string; message: string };
  return reasons[code] ?? message;
}

/** Throws unless what was opened is a regular file. */
export function checkRegularFile(found: { isDirectory(): boolean; isFile(): boolean }): void {
  if (found.isDirectory()) throw new Error("it is a directory");
  if (!found.isFile()) throw new Error("it is no regular file");
}
