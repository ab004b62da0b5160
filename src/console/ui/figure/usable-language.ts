/**
 * A browser in a POSIX locale calls its language "en-US@posix" or "C", which Intl refuses; the chart library hands it
 * over as it is loaded. Import this before that library.
 */
try {
  Intl.getCanonicalLocales(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en", configurable: true });
}
