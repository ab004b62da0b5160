/** What is wrong with what a part of a form has, read out as it comes. */
export const Problem = ({ problem }: { problem: string | undefined }) =>
  problem === undefined ? null : (
    <p class="problem" role="alert">
      {problem}
    </p>
  );
