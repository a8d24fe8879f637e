"""CSV files hold text, also where a spreadsheet would run it."""

import csv
import io

import pytest

from portal.services.csv_cells import inert


@pytest.mark.parametrize(
    "evil", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("x")']
)
def test_a_cell_that_a_spreadsheet_would_run_is_text(evil):
    written = io.StringIO()
    csv.writer(written).writerow([inert(evil)])
    [[read]] = csv.reader(io.StringIO(written.getvalue(), newline=""))
    assert read == "'" + evil
    assert inert("Weather 1.0") == "Weather 1.0"
