/** A page that nobody sees for so long watches nothing. */
const hiddenMs = 30_000;

/** Calls `rest` once nobody has seen the page for a while, and `wake` when somebody does again. */
export function restWhenHidden(rest: () => void, wake: () => void): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isResting = false;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.hidden) {
      timer = setTimeout(() => {
        isResting = true;
        rest();
      }, hiddenMs);
    } else if (isResting) {
      isResting = false;
      wake();
    }
  });
}
