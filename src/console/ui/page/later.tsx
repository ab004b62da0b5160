import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Broken } from "./broken.tsx";
import { Loading } from "./notice.tsx";

/** A view whose code is loaded when it is first shown. */
export function later<Props extends object>(load: () => Promise<ComponentType<Props>>): ComponentType<Props> {
  let loaded: ComponentType<Props> | undefined;
  return function Later(props: Props) {
    const [View, setView] = useState<ComponentType<Props> | undefined>(() => loaded);
    const [error, setError] = useState<unknown>(undefined);
    useEffect(() => {
      if (View !== undefined) return;
      const show = (component: ComponentType<Props>) => {
        loaded = component;
        setView(() => component);
      };
      load().then(show, (thrown: unknown) => {
        reportError(thrown);
        setError(thrown);
      });
    }, []);
    if (View !== undefined) return <View {...props} />;
    return error === undefined ? <Loading what="the page" /> : <Broken error={error} />;
  };
}
