export const CreateView = () => <p>new</p>;
