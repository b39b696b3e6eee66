"""The API's description of itself: whole, valid, and true."""

import pytest

from api.openapi.describe import description_of
from api.problems import PROBLEMS
from api.routes import ENDPOINTS


@pytest.mark.covers("004.39")
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_every_route_is_described(endpoint):
    """Its handler says what it takes and answers, and names only refusals that have a status."""
    description = endpoint.description
    assert description.answers
    assert set(description.refuses) <= PROBLEMS.keys()
    assert endpoint.handler.__doc__


def test_a_handler_that_says_nothing_is_found():
    """Without this the rule above could pass on anything."""

    async def silent(request):
        """Say nothing."""

    with pytest.raises(LookupError, match="silent has no @describe"):
        description_of(silent)
