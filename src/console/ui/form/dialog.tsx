import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

/**
 * A dialog over the page. The browser keeps the focus in it and gives it back; Escape closes it, unless it is held,
 * such as while something goes on that it tells of.
 */
export function Dialog(props: {
  title: string;
  onClose: () => void;
  isHeld?: boolean;
  children: ComponentChildren;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby="dialog-title"
      onClose={props.onClose}
      onCancel={(event) => {
        if (props.isHeld === true) event.preventDefault();
      }}
    >
      <h2 id="dialog-title">{props.title}</h2>
      {props.children}
    </dialog>
  );
}
