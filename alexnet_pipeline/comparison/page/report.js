"use strict";
// Sorts tables, flips crops to the first method and offers the embedded numbers as files. Nothing is fetched.
(() => {
  const numbers = () => JSON.parse(document.getElementById("numbers").textContent);

  function valueOf(row, column) {
    const text = row.cells[column].dataset.value;
    return text === undefined ? row.cells[column].textContent.trim() : text === "" ? null : Number(text);
  }

  function compare(a, b) {
    if (a === null || b === null) return (a === null) - (b === null);
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  }

  for (const button of document.querySelectorAll("th > button.sort")) {
    button.addEventListener("click", () => {
      const head = button.parentElement;
      const body = head.closest("table").tBodies[0];
      const first = head.dataset.first || "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      for (const each of head.parentElement.cells) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const rows = [...body.rows].map((row) => [valueOf(row, head.cellIndex), row]);
      rows.sort(([a], [b]) => (a === null || b === null ? compare(a, b) : sign * compare(a, b)));
      body.append(...rows.map(([, row]) => row));
    });
  }

  for (const button of document.querySelectorAll("button.flicker")) {
    const image = button.querySelector("img");
    const shelf = button.closest(".shelf");
    const first = shelf.querySelector("button.flicker img");
    const caption = button.parentElement.querySelector(".shown");
    const own = { source: image.src, name: caption.textContent };
    const show = (swapped) => {
      image.src = swapped ? first.src : own.source;
      caption.textContent = swapped ? shelf.querySelector(".shown").textContent : own.name;
      button.classList.toggle("swapped", swapped);
    };
    if (image === first) continue;
    // A finger does not hover: its tap is a click.
    const hover = (swapped) => (event) => { if (event.pointerType !== "touch") show(swapped); };
    button.addEventListener("pointerenter", hover(true));
    button.addEventListener("pointerleave", hover(false));
    button.addEventListener("focus", () => { if (button.matches(":focus-visible")) show(true); });
    button.addEventListener("blur", () => show(false));
    button.addEventListener("click", () => show(!button.classList.contains("swapped")));
  }

  // A spreadsheet takes text that begins like this for a formula.
  function cell(value) {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return String(value);
    const text = /^[=+\-@\t\r]/.test(value) ? "'" + value : value;
    return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  }

  function imageTable(comparison) {
    const metrics = comparison.metrics.map((metric) => metric.name);
    const columns = ["key", "name", "sha256", "size_bytes", "height_px", "width_px", "scale", "disagreement"];
    const rows = [[...columns, "method", ...metrics]];
    for (const image of comparison.images) {
      comparison.methods.forEach((method, number) => {
        const values = metrics.map((metric) => image.values[metric]?.[number]);
        rows.push([...columns.map((name) => image[name]), method.name, ...values]);
      });
    }
    return rows;
  }

  function summaryTable(comparison) {
    const rows = [["method", "metric", "unit", "mean", "low", "high", "best", "near_best"]];
    const units = Object.fromEntries(comparison.metrics.map((metric) => [metric.name, metric.unit]));
    for (const method of comparison.methods) {
      for (const one of method.measured) {
        const flags = [String(one.best), String(one.near_best)];
        rows.push([method.name, one.metric, units[one.metric], one.mean, one.low, one.high, ...flags]);
      }
    }
    return rows;
  }

  const csv = (rows) => "\ufeff" + rows.map((row) => row.map(cell).join(",") + "\r\n").join("");
  const makers = {
    images: () => ["comparison-images.csv", "text/csv", csv(imageTable(numbers()))],
    summary: () => ["comparison-summary.csv", "text/csv", csv(summaryTable(numbers()))],
    json: () => ["comparison.json", "application/json", document.getElementById("numbers").textContent],
  };

  for (const button of document.querySelectorAll("button[data-download]")) {
    button.addEventListener("click", () => {
      const [name, type, text] = makers[button.dataset.download]();
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text], { type }));
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    });
  }

  // In print every photo is open.
  const closed = [];
  addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll("details.photo:not([open])")) closed.push(each);
    for (const each of closed) each.open = true;
  });
  addEventListener("afterprint", () => { for (const each of closed.splice(0)) each.open = false; });
})();
