import { href } from "../../data/page/route.ts";

export const keysAddress = (trail: readonly string[]): string => href(["keys"], { page: trail.join(",") });
