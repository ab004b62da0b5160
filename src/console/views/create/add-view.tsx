export const AddView = ({ id }: { id: string }) => <p>{id}</p>;
