// Bars from `data-as-chart` with the Chart.js that Unfold brings; colours follow the theme.
(() => {
  "use strict";
  const charts = [];

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function options() {
    const grid = { color: colour("--as-line"), drawTicks: false };
    const ticks = { color: colour("--as-muted"), maxRotation: 0, padding: 8 };
    return {
      maintainAspectRatio: false,
      animation: false,
      interaction: { mode: "index", intersect: false },
      plugins: { legend: { position: "bottom", labels: { color: colour("--as-text"), boxWidth: 10, boxHeight: 10, useBorderRadius: true, borderRadius: 3 } } },
      scales: {
        x: { stacked: true, grid: { display: false }, border: { display: false }, ticks: { ...ticks, autoSkip: true, maxTicksLimit: 7 } },
        y: { stacked: true, beginAtZero: true, grid, border: { display: false }, ticks: { ...ticks, precision: 0, maxTicksLimit: 5, callback: (value) => Intl.NumberFormat("en", { notation: "compact" }).format(value) } },
      },
    };
  }

  function draw() {
    charts.splice(0).forEach((chart) => chart.destroy());
    document.querySelectorAll("canvas[data-as-chart]").forEach((canvas) => {
      const data = JSON.parse(canvas.dataset.asChart);
      data.datasets.forEach((series) => Object.assign(series, { borderRadius: 4, maxBarThickness: 22 }));
      charts.push(new Chart(canvas, { type: "bar", data, options: options() }));
    });
  }

  addEventListener("load", () => {
    Chart.defaults.font.family = "Inter";
    draw();
    new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  });
})();
