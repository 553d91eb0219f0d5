// Runs before the first paint, so that a dark page never flashes white. "system" follows the system's choice.
// The modules are asked for when the first picture, which needs none of them, has been painted: forty requests before it
// would cost a slow machine a quarter of a second.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const read = () => {
    try {
      return localStorage.getItem("fairlead-theme") || "system";
    } catch {
      return "system"; // storage is off: follow the system
    }
  };
  const apply = () => {
    const chosen = read();
    document.documentElement.dataset.theme = chosen === "system" ? (dark.matches ? "dark" : "light") : chosen;
    dispatchEvent(new Event("themechange"));
  };
  dark.addEventListener("change", apply);
  document.documentElement.classList.add("js");
  apply();
  const begin = () => {
    const modules = document.getElementById("modules");
    if (!modules) return; // the page to sign in
    document.head.append(modules.content.cloneNode(true));
    import("./main.js");
  };
  addEventListener("DOMContentLoaded", () => (document.hidden ? begin() : requestAnimationFrame(() => setTimeout(begin))));
  addEventListener("DOMContentLoaded", () => {
    const select = document.getElementById("theme");
    if (!select) return;
    select.value = read();
    select.addEventListener("change", () => {
      try {
        localStorage.setItem("fairlead-theme", select.value);
      } catch {
        // storage is off: the choice lasts as long as the page
        document.documentElement.dataset.theme = select.value === "dark" ? "dark" : "light";
      }
      apply();
    });
  });
})();
