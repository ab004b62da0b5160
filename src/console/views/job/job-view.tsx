export const JobView = ({ id }: { id: string }) => <p>{id}</p>;
