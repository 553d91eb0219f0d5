// Runs before the first paint, so that a dark page never flashes white. "system" follows the system's choice.
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
