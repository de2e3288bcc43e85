// Bars and lines from `data-as-chart` with the Chart.js that Unfold brings; colours follow the theme.
(() => {
  "use strict";
  const charts = [];
  // Told apart also by those who see red and green as one; the second of each pair is for the dark.
  const LINES = [
    ["#0d9488", "#2dd4bf"], ["#2563eb", "#60a5fa"], ["#c2410c", "#fb923c"], ["#7c3aed", "#a78bfa"], ["#be123c", "#fb7185"],
    ["#4d7c0f", "#a3e635"], ["#0369a1", "#7dd3fc"], ["#a16207", "#fde047"], ["#64748b", "#94a3b8"],
  ];

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const isDark = () => document.documentElement.classList.contains("dark");
  const short = (value) => Intl.NumberFormat("en", { notation: "compact" }).format(value);

  function options(isLine) {
    const grid = { color: colour("--as-line"), drawTicks: false };
    const ticks = { color: colour("--as-muted"), maxRotation: 0, padding: 8 };
    return {
      maintainAspectRatio: false,
      animation: false,
      interaction: { mode: "index", intersect: false },
      plugins: { legend: { position: "bottom", labels: { color: colour("--as-text"), boxWidth: 10, boxHeight: 10, useBorderRadius: true, borderRadius: 3 } } },
      scales: {
        x: { stacked: !isLine, grid: { display: false }, border: { display: false }, ticks: { ...ticks, autoSkip: true, maxTicksLimit: 7 } },
        y: { stacked: !isLine, beginAtZero: !isLine, grid, border: { display: false }, ticks: { ...ticks, precision: isLine ? undefined : 0, maxTicksLimit: 5, callback: short } },
      },
    };
  }

  function asBars(series) {
    Object.assign(series, { borderRadius: 4, maxBarThickness: 22 });
  }

  function asLine(series, place, times) {
    const own = LINES[place % LINES.length][isDark() ? 1 : 0];
    series.data = series.data.map((value, number) => ({ x: times[number], y: value }));
    // Over periods without a value the line is dashed.
    const segment = { borderDash: (part) => (part.p0.skip || part.p1.skip ? [3, 4] : undefined) };
    Object.assign(series, { borderColor: own, backgroundColor: own, borderWidth: 2, pointRadius: times.length > 60 ? 1 : 2.5, tension: 0, spanGaps: true, segment });
  }

  // A moment as the labels are written: a day, or the hour on the clocks of their zone.
  function clock(time, label) {
    if (label.length <= 10) return new Date(time).toISOString().slice(0, 10);
    const [, sign, hours, minutes] = label.match(/([+-])(\d\d):(\d\d)$/) || [0, "+", 0, 0];
    const ahead = (sign === "-" ? -1 : 1) * (hours * 60 + Number(minutes)) * 60_000;
    return new Date(time + ahead).toISOString().slice(0, 16).replace("T", " ");
  }

  // Periods stand as far apart as they are in time.
  function overTime(chosen, labels, times) {
    Object.assign(chosen.scales.x, { type: "linear", min: times[0], max: times.at(-1) });
    // Chart.js would put its ticks at round numbers of milliseconds, which are no periods.
    const step = Math.ceil(times.length / chosen.scales.x.ticks.maxTicksLimit);
    chosen.scales.x.afterBuildTicks = (axis) => { axis.ticks = times.filter((_, number) => number % step === 0).map((value) => ({ value })); };
    chosen.scales.x.ticks.callback = (time) => clock(time, labels[0] || "");
    chosen.plugins.tooltip = { callbacks: { title: (items) => (items.length ? labels[items[0].dataIndex] : "") } };
  }

  function draw() {
    charts.splice(0).forEach((chart) => chart.destroy());
    document.querySelectorAll("canvas[data-as-chart]").forEach((canvas) => {
      const { type = "bar", unit, ...data } = JSON.parse(canvas.dataset.asChart);
      const isLine = type === "line";
      const chosen = options(isLine);
      const times = isLine ? data.labels.map(Date.parse) : [];
      if (isLine) overTime(chosen, data.labels, times);
      data.datasets.forEach((series, place) => (isLine ? asLine(series, place, times) : asBars(series)));
      if (unit) chosen.scales.y.title = { display: true, text: unit, color: colour("--as-muted") };
      charts.push(new Chart(canvas, { type, data, options: chosen }));
    });
  }

  addEventListener("load", () => {
    Chart.defaults.font.family = "Inter";
    draw();
    new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
    // Charts that come with a part of the page; the ones it replaced are let go.
    document.addEventListener("htmx:afterSettle", (event) => {
      if (event.target.querySelector?.("canvas[data-as-chart]") || event.target.matches?.("canvas[data-as-chart]")) draw();
    });
  });
})();
