"""HTTP only: routes, wire types, problems, middleware. Everything that decides lives in `engine`."""

from engine.light_imports import import_lightly

import_lightly()
