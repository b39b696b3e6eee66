"""HTTP only: routes, wire types, problems, middleware. Everything that decides lives in `engine`."""
