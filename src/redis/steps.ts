/*
 * Numbers in ascending order travel to scripts as text, with a character for the way from each to the next: the numbers
 * of a list are close together, and a script that is given each one takes longer to read them than to list them.
 */

/** A character of this code is a part of a way that is longer still. */
const longest = 127;

/** The ways from `from` to the first of these numbers, and on from each to the next. */
export function stepsOf(numbers: readonly number[], from: number): string {
  const last = numbers.at(-1) ?? from;
  const steps = Buffer.allocUnsafe(numbers.length + Math.floor((last - from) / longest));
  let size = 0;
  let at = from;
  for (const number of numbers) {
    let way = number - at;
    for (; way >= longest; way -= longest) steps[size++] = longest;
    steps[size++] = way;
    at = number;
  }
  return steps.toString("latin1", 0, size);
}

/** For scripts. 4,000 numbers stay below Lua's limits of values for one call. */
export const pushSteps = `
-- Puts the numbers to which these steps lead from a number on at the end of a list, and answers its length.
local function pushSteps(key, number, steps)
  local length = 0
  for low = 1, #steps, 4000 do
    local numbers, count = { string.byte(steps, low, low + 3999) }, 0
    for i = 1, #numbers do
      local step = numbers[i]
      number = number + step
      if step < ${longest} then
        count = count + 1
        numbers[count] = number
      end
    end
    if count > 0 then length = redis.call("RPUSH", key, unpack(numbers, 1, count)) end
  end
  return length
end
`;
