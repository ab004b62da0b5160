import { href } from "../../data/route.ts";

export const keysAddress = (trail: readonly string[]): string => href(["keys"], { page: trail.join(",") });
