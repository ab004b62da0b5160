import css from "./mark.module.css";

/** The sign of the product, beside its name. */
export const Mark = () => (
  <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
    <rect width="32" height="32" rx="8" fill="#2b4fc7" />
    <path d="M8 9h16M8 16h10M8 23h6" stroke="#fff" stroke-width="3" stroke-linecap="round" />
    <circle cx="23.5" cy="21.5" r="3.5" fill="#7fe0b2" />
  </svg>
);

/** The class of what has the sign and the name. */
export const brand = css.brand;
