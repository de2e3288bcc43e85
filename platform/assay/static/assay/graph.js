// The graph: click or Enter traces everything upstream and downstream; wheel with Ctrl, buttons and drag move the view.
(() => {
  "use strict";

  function index(svg) {
    const up = new Map();
    const down = new Map();
    for (const edge of svg.querySelectorAll(".edge")) {
      const add = (map, key) => map.set(key, [...(map.get(key) || []), edge]);
      add(down, edge.dataset.source);
      add(up, edge.dataset.target);
    }
    return { up, down };
  }

  function walk(start, edges, end, found) {
    const todo = [start];
    while (todo.length) {
      for (const edge of edges.get(todo.pop()) || []) {
        const next = edge.dataset[end];
        found.edges.add(edge);
        if (!found.nodes.has(next)) {
          found.nodes.add(next);
          todo.push(next);
        }
      }
    }
  }

  function trace(graph, id) {
    const svg = graph.querySelector("svg");
    svg.classList.toggle("tracing", Boolean(id));
    svg.querySelectorAll(".on, .picked").forEach((part) => part.classList.remove("on", "picked"));
    graph.dataset.traced = id || "";
    const nodes = [...svg.querySelectorAll(".node")];
    nodes.forEach((node) => node.setAttribute("aria-pressed", String(node.dataset.id === id)));
    tellPicked(graph, nodes.find((node) => node.dataset.id === id));
    if (!id) return;
    const { up, down } = index(svg);
    const found = { nodes: new Set([id]), edges: new Set() };
    walk(id, up, "source", found);
    walk(id, down, "target", found);
    found.edges.forEach((edge) => edge.classList.add("on"));
    nodes.filter((node) => found.nodes.has(node.dataset.id)).forEach((node) => node.classList.add("on"));
    nodes.find((node) => node.dataset.id === id)?.classList.add("picked");
  }

  function tellPicked(graph, node) {
    const place = document.getElementById(graph.dataset.picked);
    if (!place) return;
    place.textContent = "";
    if (!node) return;
    place.append(`${node.dataset.label} `);
    if (node.dataset.url) {
      const link = document.createElement("a");
      link.href = node.dataset.url;
      link.className = "as-link";
      link.textContent = "Open";
      place.append(link);
    }
  }

  // --- moving the view -----------------------------------------------------------

  const viewOf = (svg) => svg.getAttribute("viewBox").split(" ").map(Number);
  const setView = (svg, view) => svg.setAttribute("viewBox", view.map((value) => value.toFixed(2)).join(" "));

  function zoom(svg, factor, centre) {
    const [x, y, width, height] = viewOf(svg);
    const full = svg.dataset.full.split(" ").map(Number);
    const wide = Math.min(Math.max(width / factor, full[2] / 12), full[2] * 2);
    const scale = wide / width;
    const [cx, cy] = centre || [x + width / 2, y + height / 2];
    setView(svg, [cx - (cx - x) * scale, cy - (cy - y) * scale, wide, height * scale]);
  }

  function drag(svg, event) {
    let last = [event.clientX, event.clientY];
    const move = (moved) => {
      const unit = 1 / svg.getScreenCTM().a;
      const [x, y, width, height] = viewOf(svg);
      setView(svg, [x - (moved.clientX - last[0]) * unit, y - (moved.clientY - last[1]) * unit, width, height]);
      last = [moved.clientX, moved.clientY];
    };
    const stop = () => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", stop);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", stop);
  }

  const graphOf = (target) => target.closest?.(".as-graph");

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-graph-zoom]");
    if (button) {
      const svg = document.querySelector(`#${button.dataset.graph} svg`);
      if (button.dataset.graphZoom === "fit") svg.setAttribute("viewBox", svg.dataset.full);
      else zoom(svg, Number(button.dataset.graphZoom));
      return;
    }
    const graph = graphOf(event.target);
    if (!graph) return;
    const node = event.target.closest(".node");
    trace(graph, node && node.dataset.id !== graph.dataset.traced ? node.dataset.id : "");
  });

  document.addEventListener("keydown", (event) => {
    const graph = graphOf(event.target);
    if (!graph) return;
    const node = event.target.closest(".node");
    if (node && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      trace(graph, node.dataset.id === graph.dataset.traced ? "" : node.dataset.id);
    } else if (event.key === "Escape") trace(graph, "");
    else if (event.key === "+") zoom(graph.querySelector("svg"), 1.25);
    else if (event.key === "-") zoom(graph.querySelector("svg"), 0.8);
  });

  document.addEventListener("pointerdown", (event) => {
    const graph = graphOf(event.target);
    if (graph && event.button === 0 && event.pointerType === "mouse") drag(graph.querySelector("svg"), event);
  });

  document.addEventListener("wheel", (event) => {
    const graph = graphOf(event.target);
    if (!graph || !(event.ctrlKey || event.metaKey)) return; // the plain wheel scrolls the page
    event.preventDefault();
    const svg = graph.querySelector("svg");
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    zoom(svg, event.deltaY < 0 ? 1.15 : 1 / 1.15, [point.x, point.y]);
  }, { passive: false });

  // A live graph is drawn anew by the server: what was traced and where the view stood stays.
  let kept = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const graph = event.target.querySelector?.(".as-graph") || graphOf(event.target);
    kept = graph && { id: graph.id, traced: graph.dataset.traced, view: graph.querySelector("svg").getAttribute("viewBox") };
  });
  document.addEventListener("htmx:afterSettle", () => {
    const graph = kept && document.getElementById(kept.id);
    if (!graph) return;
    graph.querySelector("svg").setAttribute("viewBox", kept.view);
    trace(graph, kept.traced);
    kept = null;
  });

  document.addEventListener("DOMContentLoaded", () => {
    const focus = new URLSearchParams(location.search).get("focus");
    if (focus) document.querySelectorAll(".as-graph").forEach((graph) => trace(graph, focus));
  });
})();
