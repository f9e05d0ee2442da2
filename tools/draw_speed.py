"""Draw the README's chart of speeds from a result of `benchmark_shard.py`.

python tools/draw_speed.py tools/results/2026-11-26-shard.md -o tools/results/2026-11-26-shard.svg
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

# Rows of the result that are drawn: what they are called there, here, and whether they are this package's.
ROWS = (
    ("lanczos, 2 workers", "alexnet-pipeline shard", True),
    ("Pillow-SIMD script", "Pillow-SIMD script", False),
    ("img2dataset", "img2dataset", False),
    ("Pillow script", "Pillow script", False),
)
FLOOR = "floor"
WIDTH, BAR_PX, GAP_PX, LEFT_PX, RIGHT_PX, TOP_PX = 720, 22, 12, 175, 70, 34
STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1f2328 } .title { font-weight: 600 } .small { font-size: 12px }
.ours { fill: #0969da } .other { fill: #afb8c1 } .floor { stroke: #1f2328; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .ours { fill: #4493f8 } .other { fill: #59636e } .floor { stroke: #e6edf3 }
}
"""


def read_times(result: str) -> dict[str, float]:
    """CPU milliseconds per image of the first table, by row."""
    table = result.partition("|---")[2].partition("\n\n")[0]
    return {name: float(value) for name, value in re.findall(r"^\| ([^|]+) \| ([\d.]+) \|", table, re.MULTILINE)}


def draw(times: dict[str, float]) -> str:
    """A bar for each row, and a dashed line at the floor."""
    most = max(times[row] for row, _, _ in ROWS)
    scale = (WIDTH - LEFT_PX - RIGHT_PX) / most
    height = TOP_PX + len(ROWS) * (BAR_PX + GAP_PX) + 24
    parts = ['<text class="title" x="0" y="16">CPU time per image, ImageNet photographs to 256x256 JPEG (ms)</text>']
    for number, (row, name, ours) in enumerate(ROWS):
        top, width = TOP_PX + number * (BAR_PX + GAP_PX), times[row] * scale
        middle = top + BAR_PX / 2 + 5
        kind = "ours" if ours else "other"
        parts += [
            f'<text x="{LEFT_PX - 10}" y="{middle}" text-anchor="end">{name}</text>',
            f'<rect class="{kind}" x="{LEFT_PX}" y="{top}" width="{width:.1f}" height="{BAR_PX}" rx="3"/>',
            f'<text x="{LEFT_PX + width + 8:.1f}" y="{middle}">{times[row]:.2f}</text>',
        ]
    x, bottom = LEFT_PX + times[FLOOR] * scale, height - 24
    parts += [
        f'<line class="floor" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP_PX - 6}" y2="{bottom}"/>',
        f'<text class="small" x="{x:.1f}" y="{height - 8}" text-anchor="middle">'
        f"decoding and encoding alone, by libjpeg-turbo: {times[FLOOR]:.2f}</text>",
    ]
    label = "; ".join(f"{name} {times[row]:.2f} ms" for row, name, _ in ROWS)
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="CPU time per image: {label}">'
        f"<style>{STYLE}</style>{''.join(parts)}</svg>\n"
    )


def main() -> None:
    """Read a result, and write the chart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=Path, help="Markdown that benchmark_shard.py printed")
    parser.add_argument("-o", "--output", type=Path, required=True, help="SVG file")
    given = parser.parse_args()
    given.output.write_text(draw(read_times(given.result.read_text())))


if __name__ == "__main__":
    main()
