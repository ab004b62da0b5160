// Apart from the rest: what cannot be loaded, or throws as it is loaded, is told by what is there already.
import("./main.tsx").catch((thrown: unknown) => {
  reportError(thrown);
  const place = document.getElementById("console");
  if (place === null) return;
  const title = Object.assign(document.createElement("h1"), { textContent: "The console cannot be shown" });
  const told = `What happened: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
  const what = Object.assign(document.createElement("p"), { textContent: told });
  const advice = Object.assign(document.createElement("p"), {
    textContent: "Reload the page; if that does not help, try a newer browser.",
  });
  place.replaceChildren(title, what, advice);
});
