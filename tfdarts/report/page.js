for (const slider of document.querySelectorAll("input[type=range]")) {
  const run = slider.closest("section");
  const show = () => {
    for (const frame of run.querySelectorAll("[data-frame]")) frame.hidden = frame.dataset.frame !== slider.value;
    const shown = run.querySelector(`[data-frame="${slider.value}"]`);
    run.querySelector("output").textContent = shown.dataset.number;
    slider.setAttribute("aria-valuetext", slider.getAttribute("aria-label") + " " + shown.dataset.number);
  };
  slider.addEventListener("input", show);
  show();
}
