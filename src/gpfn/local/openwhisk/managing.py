"""The routes of actions and packages (Actions.scala, Packages.scala)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from gpfn.http.loop import Response
from gpfn.local.openwhisk.asking import WhiskRequest, WhiskRoute
from gpfn.local.openwhisk.documents import (
    action_document,
    package_document,
    with_actions,
)
from gpfn.local.openwhisk.entities import WhiskEntities
from gpfn.local.openwhisk.listing import list_reply
from gpfn.local.openwhisk.naming import GUEST, EntityRef
from gpfn.local.openwhisk.records import WhiskPackage
from gpfn.local.openwhisk.refusing import WhiskRefusal, json_reply

__all__ = ["ActionRoutes", "PackageRoutes"]

_ACTIONS = "/api/v1/namespaces/{namespace}/actions"
_PACKAGES = "/api/v1/namespaces/{namespace}/packages"


class ActionRoutes:
    """Actions are made, read, changed, listed and removed, in packages too."""

    def __init__(self, entities: WhiskEntities) -> None:
        self._entities = entities

    @property
    def routes(self) -> Sequence[WhiskRoute]:
        """What is answered here."""
        one = [
            WhiskRoute(method, f"{_ACTIONS}{pattern}", answer)
            for pattern in ("/{name}", "/{package}/{name}")
            for method, answer in (("PUT", self._put), ("GET", self._get), ("DELETE", self._delete))
        ]
        return [
            WhiskRoute("GET", _ACTIONS, self._list),
            WhiskRoute("GET", f"{_ACTIONS}/", self._list),
            *one,
            WhiskRoute("GET", f"{_ACTIONS}/{{package}}/", self._list_package),
        ]

    def _put(self, request: WhiskRequest) -> Response:
        overwrite = request.flag("overwrite")
        body = request.json_object(needed=True)
        action = self._entities.put_action(request.ref, body, overwrite=overwrite)
        return json_reply(action_document(action, self._entities.code(action)))

    def _get(self, request: WhiskRequest) -> Response:
        action = self._entities.action(request.ref)
        if not request.flag("code", default=True):
            return json_reply(action_document(action))
        return json_reply(action_document(action._replace(binding=""), self._entities.code(action)))

    def _delete(self, request: WhiskRequest) -> Response:
        return json_reply(action_document(*self._entities.delete_action(request.ref)))

    def _list(self, request: WhiskRequest) -> Response:
        return self._listed(request, None)

    def _list_package(self, request: WhiskRequest) -> Response:
        names = request.names
        package = self._entities.package(EntityRef("", names["package"], names["namespace"]))
        return self._listed(request, package.binding or package.ref)

    def _listed(self, request: WhiskRequest, package: EntityRef | None) -> Response:
        entities = self._entities
        return list_reply(
            request,
            "actions",
            partial(entities.actions, package),
            lambda: entities.count("action", package),
        )


class PackageRoutes:
    """Packages and bindings are made, read, changed, listed and removed."""

    def __init__(self, entities: WhiskEntities) -> None:
        self._entities = entities

    @property
    def routes(self) -> Sequence[WhiskRoute]:
        """What is answered here."""
        return [
            WhiskRoute("GET", _PACKAGES, self._list, shared=True),
            WhiskRoute("GET", f"{_PACKAGES}/", self._list, shared=True),
            WhiskRoute("PUT", f"{_PACKAGES}/{{name}}", self._put),
            WhiskRoute("GET", f"{_PACKAGES}/{{name}}", self._get),
            WhiskRoute("DELETE", f"{_PACKAGES}/{{name}}", self._delete),
        ]

    def _put(self, request: WhiskRequest) -> Response:
        overwrite = request.flag("overwrite")
        body = request.json_object(needed=True)
        package = self._entities.put_package(request.ref, body, overwrite=overwrite)
        return json_reply(package_document(package))

    def _get(self, request: WhiskRequest) -> Response:
        ref = request.ref
        try:
            package = self._entities.merged_package(ref)
        except WhiskRefusal as refusal:
            if refusal.status != 404:
                raise
            raise WhiskRefusal(404, f"The requested resource '{ref}' does not exist.") from None
        return json_reply(with_actions(package, self._entities.actions(package.binding or ref)))

    def _delete(self, request: WhiskRequest) -> Response:
        force = request.flag("force")
        return json_reply(package_document(self._entities.delete_package(request.ref, force=force)))

    def _list(self, request: WhiskRequest) -> Response:
        """List packages; anybody may ask for those of any namespace, and gets the shared ones."""
        entities = self._entities
        if request.names["namespace"] != GUEST:
            return list_reply(request, "packages", _nothing, lambda: 0)
        return list_reply(request, "packages", entities.packages, lambda: entities.count("package"))


def _nothing(*, skip: int, limit: int) -> Sequence[WhiskPackage]:  # noqa: ARG001
    """Find no package of another namespace: none is shared here."""
    return ()
