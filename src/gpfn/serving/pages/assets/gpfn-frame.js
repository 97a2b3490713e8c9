// Runs before Netron's own scripts, in a frame without an origin. It answers for what such a frame
// has not: cookies and storage, where its pages look for a consent that they would ask for first,
// and workers of a file, which have to begin from a text of the frame itself.
"use strict";
(() => {
  Object.defineProperty(Document.prototype, "cookie", { get: () => "consent=none", set: () => {} });
  for (const name of ["localStorage", "sessionStorage"])
    Object.defineProperty(window, name, { value: undefined });

  const Native = window.Worker;
  window.Worker = function (file) {
    const address = JSON.stringify(new URL(file, location.href).href);
    // what is sent before the file has loaded is kept, and given to it then
    const source = `const early = [];
      const keep = (event) => early.push(event.data);
      addEventListener("message", keep);
      import(${address}).then(() => setTimeout(() => {
        removeEventListener("message", keep);
        for (const data of early) dispatchEvent(new MessageEvent("message", { data }));
      }));`;
    return new Native(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  };
})();
