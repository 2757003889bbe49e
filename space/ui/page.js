// Runs on every page. Esc presses the stop button; and what Gradio 6.31 leaves without a proper name or role for screen
// readers gets one, as it appears (axe-core: aria-required-children, aria-prohibited-attr, nested-interactive, label).
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const button of document.querySelectorAll("button.stop:not([disabled])")) button.click();
});

function repair() {
  // A chat's examples are a list without list items.
  for (const list of document.querySelectorAll('.examples[role="list"]')) list.setAttribute("role", "group");
  // An empty gallery has a name, but nothing that could have one.
  for (const empty of document.querySelectorAll(".empty[aria-label]:not([role])")) empty.setAttribute("role", "img");
  // A message is a button around its close button.
  for (const header of document.querySelectorAll('.toast-header[role="button"]')) {
    header.removeAttribute("role");
    header.removeAttribute("tabindex");
  }
  // A label that holds a copy button names that, not its text field.
  for (const field of document.querySelectorAll("label textarea:not([aria-label])")) {
    const name = field.closest("label").querySelector('[data-testid="block-info"]');
    if (!field.labels.length && name) field.setAttribute("aria-label", name.innerText.trim());
  }
}

let waiting = false;
new MutationObserver(() => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    repair();
  });
}).observe(document.documentElement, { childList: true, subtree: true });
