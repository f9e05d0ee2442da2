"""The report's tables: ranges of columns and the heat map."""

from alexnet_pipeline.comparison.page import tables
from alexnet_pipeline.comparison.summary import columns_of
from tests.comparison.page.made import METHODS, comparison


def test_intervals_are_positions_within_their_column():
    """The lowest end is at 0 and the highest at 100 %."""
    found = comparison()
    rows = tables.rows_of(found, columns_of(found))
    cells = [row.cells[0] for row in rows]
    assert min(cell.left_percent for cell in cells) == 0
    assert max(cell.left_percent + cell.width_percent for cell in cells) == 100


def test_the_worst_cell_of_the_matrix_has_the_strongest_tint():
    """The best has none; own cells are marked."""
    rows = tables.heat_map(comparison(trained=True).training)
    assert [row.train for row in rows] == list(METHODS)
    assert [[cell.own for cell in row.cells] for row in rows] == [[i == j for j in range(3)] for i in range(3)]
    heats = [cell.heat for row in rows for cell in row.cells]
    assert (min(heats), max(heats)) == (0, tables.MOST_HEAT)
    assert all((cell.heat == 0) == cell.own for row in rows for cell in row.cells)
