/** What is wrong with origins, with commas between them. */
export function originsFault(text: string): string | undefined {
  const wrong = readOrigins(text).find((origin) => originIn(origin) !== origin);
  if (wrong === undefined) return undefined;
  const nearest = originIn(wrong);
  const example = nearest === undefined ? "https://app.example.com" : nearest;
  return `must be exact origins as browsers send them, with commas between them: ${example}, and not ${JSON.stringify(wrong)}`;
}

export const readOrigins = (text: string): string[] => text.split(",").map((origin) => origin.trim());

function originIn(text: string): string | undefined {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && !url.host.includes("*") ? url.origin : undefined;
}

/** What is wrong with the path that a whole service is under. */
export const basePathFault = (path: string): string | undefined =>
  path.length <= 200 && /^(?:\/(?!\.{1,2}(?:\/|$))[\w.~-]+)+$/.test(path)
    ? undefined
    : "must be a path such as /callsheet: a slash before each part, none at the end, and letters, digits, dots, dashes, underscores or tildes";
