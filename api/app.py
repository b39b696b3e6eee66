"""The HTTP application: `create_app(settings)`, or `uvicorn --factory api.app:create_app_from_env`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Scope

from api.auth import Authenticator
from api.crowd import Answer, Crowd
from api.middleware import Edge
from api.openapi.document import Document
from api.rate_limits import RateLimits
from api.routes import ENDPOINTS, Paths, build_routes
from engine.logs import configure_logs
from engine.memory import settle_in
from engine.runtime import open_runtime
from engine.seats.limiter import Limiter
from engine.settings import Settings, load_settings


class Application(Starlette):
    """Starlette with our layers only: what it would put around them does what `Edge` and `Paths` do once more."""

    _crowd: Crowd | None = None

    def build_middleware_stack(self) -> ASGIApp:
        """Put the layers around the routes."""
        app: ASGIApp = Paths(self.router)
        for layer, args, options in reversed(self.user_middleware):
            app = layer(app, *args, **options)
        assert isinstance(app, Crowd), "whom it turns away is asked before all else"
        self._crowd = app
        return app

    def turned_away(self, scope: Scope) -> Answer | None:
        """Give the answer to a request that is too much; see `Crowd.turned_away`."""
        if self._crowd is None:
            return None
        scope["app"] = self
        return self._crowd.turned_away(scope)


def create_app(settings: Settings, when_ready: Callable[[], None] = lambda: None) -> Starlette:
    """Build the application; its lifespan opens and closes the runtime (`app.state.runtime`).

    It starts while Redis or PostgreSQL are away and heals when they come. `when_ready` is called before the first
    request.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_runtime(settings, "api") as runtime:
            app.state.runtime = runtime
            app.state.authenticator = Authenticator(runtime.accounts.tokens, runtime.issuer)
            limiter = Limiter(runtime.lane) if settings.rate_limit == "on" else None
            app.state.rate_limits = RateLimits(settings, limiter)
            when_ready()
            yield

    app = Application(
        routes=build_routes(),
        middleware=[
            Middleware(Crowd, settings=settings),
            Middleware(Edge, settings=settings),
        ],
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.document = Document(ENDPOINTS)
    return app


def create_app_from_env() -> Starlette:
    """Build the application from `SEATLOCK_*`, in a process of its own."""
    settings = load_settings()
    configure_logs(settings.log_level)
    return create_app(settings, when_ready=settle_in)
