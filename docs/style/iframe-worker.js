// Browsers start no worker on a page that is read from a folder: there the search runs in a hidden frame instead.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inside = frame.contentWindow;
      const load = (address) =>
        new Promise((done, failed) => {
          const script = inside.document.createElement("script");
          Object.assign(script, { src: address, onload: done, onerror: failed });
          inside.document.head.append(script);
        });
      const send = (to, kind, data) =>
        setTimeout(() => to.dispatchEvent(new kind("message", { data: structuredClone(data) }))); // later, as a worker
      inside.postMessage = (data) => send(this, MessageEvent, data);
      inside.importScripts = (...addresses) =>
        addresses.reduce((before, address) => before.then(() => load(address)), Promise.resolve());
      this.addEventListener("message", (event) => this.onmessage?.(event));
      this.ready = load(url);
      this.terminate = () => frame.remove();
      this.postMessage = (data) => this.ready.then(() => send(inside, inside.MessageEvent, data));
    }
  };
}
