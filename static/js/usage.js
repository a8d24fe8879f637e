/* The chart over the table of calls by day. The table has the same numbers and needs no script. */
(function () {
  "use strict";

  const source = document.getElementById("usage-days");
  const box = document.querySelector('[data-chart="usage-days"]');
  if (!source || !box || !window.Chart) return;
  const data = JSON.parse(source.textContent);
  let chart = null;

  function draw() {
    const style = getComputedStyle(document.body);
    const colour = (name) => {
      const probe = document.createElement("span");
      probe.style.color = `var(${name})`;
      document.body.append(probe);
      const found = getComputedStyle(probe).color;
      probe.remove();
      return found;
    };
    if (chart) chart.destroy();
    const ink = colour("--p-ink-2");
    const line = colour("--p-line");
    const bars = (label, values, fill) => ({ label, data: values, backgroundColor: fill, borderRadius: 3, maxBarThickness: 28 });
    chart = new window.Chart(box.querySelector("canvas"), {
      type: "bar",
      data: {
        labels: data.days,
        datasets: [bars("Counted", data.counted, colour("--p-accent")), bars("Not counted", data.rest, colour("--p-line-strong"))],
      },
      options: {
        animation: false,
        maintainAspectRatio: false,
        font: { family: style.fontFamily },
        plugins: { legend: { position: "top", align: "end", labels: { color: ink, boxWidth: 12, boxHeight: 12 } } },
        scales: {
          x: { stacked: true, grid: { display: false }, border: { color: line }, ticks: { color: ink, maxRotation: 0, autoSkipPadding: 16 } },
          y: { stacked: true, beginAtZero: true, grid: { color: line }, border: { display: false }, ticks: { color: ink, precision: 0 } },
        },
      },
    });
  }

  box.hidden = false;
  draw();
  document.addEventListener("portal:theme", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
