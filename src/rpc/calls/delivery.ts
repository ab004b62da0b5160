import { type ContextValues, createContextKey } from "@connectrpc/connect";

/** What becomes of the answer that a handler gives. */
export type Delivery = {
  /**
   * Calls back, once, if the handler's answer is not written to its caller's connection: because that has gone,
   * because the answer cannot be written, or because the call was answered before its handler was. At once if that is
   * known already.
   */
  onFailure(undo: () => void): void;
  /** The call is over: its handler's answer has been written, or not. Only the first word counts. */
  end(isWritten: boolean): void;
};

function createDelivery(): Delivery {
  const undoing: (() => void)[] = [];
  let isWritten: boolean | undefined;
  return {
    onFailure(undo) {
      if (isWritten === undefined) undoing.push(undo);
      else if (!isWritten) undo();
    },
    end(written) {
      if (isWritten !== undefined) return;
      isWritten = written;
      if (!written) for (const undo of undoing) undo();
    },
  };
}

const deliveryKey = createContextKey<Delivery | undefined>(undefined);

/** The delivery of the call with these context values. */
export function deliveryOf(values: ContextValues): Delivery {
  const known = values.get(deliveryKey);
  if (known !== undefined) return known;
  const delivery = createDelivery();
  values.set(deliveryKey, delivery);
  return delivery;
}
