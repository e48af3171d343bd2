"""flask-smorest's Api that describes the doors when somebody asks for the description.

The description (OpenAPI) is four fifths of what making an app costs, and of a server's
processes one answers ``openapi.json`` now and then; commands and tests never do. Some of
what is used here is flask-smorest's inside (0.46); the tests of REST hold it.
"""

import threading
from typing import Any

from flask_smorest import Api, Blueprint


class LateApi(Api):  # type: ignore[misc] # flask-smorest has no types
    """Registers blueprints at once and describes them with the first look at :attr:`spec`."""

    def __init__(self, app: Any) -> None:
        self._described: Any = None
        self._options: dict[str, Any] = {}
        self._undescribed: list[tuple[Blueprint, str, Any]] = []
        self._lock = threading.RLock()
        super().__init__(app)

    @property
    def spec(self) -> Any:
        """The description of every blueprint; made by the first thread that asks."""
        with self._lock:
            if self._described is None:
                self._describe()
            return self._described

    @spec.setter
    def spec(self, found: Any) -> None:
        self._described = found

    def register_blueprint(self, blp: Blueprint, *, parameters: Any = None, **options: Any) -> None:
        """Add *blp* to the app; see flask_smorest.Api. All are added before a request comes."""
        name = options.get("name", blp.name)
        self._app.extensions["flask-smorest"]["blp_name_to_api"][name] = self
        self._app.register_blueprint(blp, **options)
        self._undescribed.append((blp, name, parameters))

    def _init_spec(self, **options: Any) -> None:
        self._options = options

    def _describe(self) -> None:
        """Describe every blueprint, or none: half a description would pass for a whole one."""
        try:
            super()._init_spec(**self._options)  # sets the description, then looks at it
            found = self._described
            for blueprint, name, parameters in self._undescribed:
                blueprint.register_views_in_doc(
                    self, self._app, found, name=name, parameters=parameters
                )
                found.tag({"name": name, "description": blueprint.description})
        except BaseException:
            self._described = None
            raise
