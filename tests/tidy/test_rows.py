"""Every claim about the source documents has a test that proves it."""

import ast

import pytest

from tests.rows import Row, collect_proofs, problems, proofs_in, read_rows

EXAMPLE = """
@pytest.mark.covers("001.9", "000.12")
async def test_a_hold_lapses(): pass

@pytest.mark.skip
@pytest.mark.covers("001.27")
def test_that_never_runs(): pass

@pytest.mark.covers("004.36")
class TestCrowd:
    @pytest.mark.parametrize("n", [pytest.param(10, marks=pytest.mark.covers("004.37")), 50])
    def test_one_wins(self, n): pass

def test_of_something_else(): pass
"""


def test_marks_are_found_where_pytest_finds_them():
    """A test's own marks count, its class's and its parameters' too; a skipped test proves nothing."""
    found = {proof.test: (proof.rows, proof.alive) for proof in proofs_in(ast.parse(EXAMPLE), "t.py")}
    assert found == {
        "t.py::test_a_hold_lapses": (("001.9", "000.12"), True),
        "t.py::test_that_never_runs": (("001.27",), False),
        "t.py::TestCrowd::test_one_wins": (("004.36", "004.37"), True),
    }


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (Row("001.27", "says", "claimed"), "001.27 is claimed and no living test covers it: says"),
        (Row("001.9", "says", "later"), "001.9 is later and does not say why"),
        (Row("001.9", "says", "perhaps"), "001.9 has the unknown state perhaps"),
        (Row("004.36", "says", "claimed"), "t.py::test_a_hold_lapses covers unknown row 001.9"),
    ],
)
def test_the_rule_sees_what_is_wrong(row, complaint):
    """Each kind of gap is named."""
    assert complaint in problems({row.id: row}, proofs_in(ast.parse(EXAMPLE), "t.py"))


def test_every_claimed_row_has_a_living_test():
    """No test covers an unknown row, no claim stands without a test, everything else has its reason."""
    assert problems(read_rows(), collect_proofs()) == []
