"""The route table, as the router sees it."""

import re

from starlette.applications import Starlette

from api.routes import ENDPOINTS, build_routes, full_path
from tests.asgi import AsgiClient


def test_a_path_answers_only_to_its_own_methods():
    """Also where another path's pattern would take it: a look-up is no booking's id."""
    client = AsgiClient(Starlette(routes=build_routes()))
    methods = {}
    for endpoint in ENDPOINTS:
        methods.setdefault(endpoint.path, set()).add(endpoint.method)
    for path, known in methods.items():
        concrete = re.sub(r"{[^}]*}", "1", full_path(path))
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - known:
            answer = client.request(method, concrete)
            assert answer.status_code == 405, f"{method} {path}"
            assert set(answer.headers["Allow"].split(", ")) - {"HEAD"} == known
