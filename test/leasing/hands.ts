type Contact = { readonly batchJobId: string; readonly number: number; readonly leaseId: string };

const nameOf = ({ batchJobId, number }: Contact): string => `${batchJobId} ${number}`;

/**
 * What workers believe to hold: from the answer that gives them a contact until they say that they are done with it.
 */
export function createHands() {
  const held = new Map<string, string>();
  const twice: string[] = [];
  return {
    /** The contacts that a worker was given while another one believed to hold them. */
    twice: twice as readonly string[],
    take(worker: string, contacts: readonly Contact[]): void {
      for (const contact of contacts) {
        const holder = held.get(nameOf(contact));
        if (holder !== undefined)
          twice.push(`${nameOf(contact)} was given to ${worker}, and ${holder} has it`);
        held.set(nameOf(contact), worker);
      }
    },
    /** To be told before the service is. */
    lay(contacts: readonly Contact[]): void {
      for (const contact of contacts) held.delete(nameOf(contact));
    },
  };
}
