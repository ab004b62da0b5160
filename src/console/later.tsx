import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Loading, Notice } from "./components/notice.tsx";

/** A view whose code is loaded when it is first shown. */
export function later<Props extends object>(load: () => Promise<ComponentType<Props>>): ComponentType<Props> {
  let loaded: ComponentType<Props> | undefined;
  return function Later(props: Props) {
    const [View, setView] = useState<ComponentType<Props> | undefined>(() => loaded);
    const [hasFailed, setFailed] = useState(false);
    useEffect(() => {
      if (View !== undefined) return;
      const show = (component: ComponentType<Props>) => {
        loaded = component;
        setView(() => component);
      };
      load().then(show, () => setFailed(true));
    }, []);
    if (View !== undefined) return <View {...props} />;
    if (!hasFailed) return <Loading what="the page" />;
    return (
      <Notice tone="bad">
        <p>
          This part of the console could not be loaded. The service may be away, or was updated meanwhile.
        </p>
        <button type="button" onClick={() => location.reload()}>
          Reload the page
        </button>
      </Notice>
    );
  };
}
