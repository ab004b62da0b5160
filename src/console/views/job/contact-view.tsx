export const ContactView = ({ id, number }: { id: string; number: number }) => (
  <p>
    {id}
    {number}
  </p>
);
