"""What serves: generations of indexes, models and click models, exchanged while requests go on.

A release says that from now on a target serves in the place of what the settings say: for everybody (share 1), for a
share of the sessions (a canary), or for nobody (share 0 takes a canary back). The newest whole release of a name
counts, and the newest canary after it. All of them are kept in the store, so they survive a restart, and other replicas
on the same store follow within a second.

Everything is opened, loaded and warm before the first request meets it; a target that cannot be opened changes nothing.
The generation of an index that serves everybody is not read from the store: the index's own directory says it, to
whoever shares the directory. A model that serves nobody any more is closed: to take an exchange back loads it again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from sqlalchemy import BigInteger, Column, Float, Integer, String, Table, func, insert, select

from index.errors import ClickwiseError, InputError, NotFoundError
from ranking.clicks.exploration import share_of
from ranking.clicks.splits import CANARY, Side, Split
from ranking.contract import Modelled
from ranking.pipeline import models, with_models
from server.catalog import Catalog
from server.clicking import ClickReader
from server.retired import Lease, Retired
from server.store import Store
from server.store.rows import now_ms
from server.store.tables import METADATA

log = logging.getLogger("clickwise.releases")

Kind: TypeAlias = Literal["index", "model", "click-model"]
LOOK_SECONDS: Final = 0.5
"""How long a release of another replica stays unknown, at most, beside the time to load it."""

releases: Final = Table(
    "releases",
    METADATA,
    Column("release_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("kind", String, nullable=False),  # index, model or click-model
    Column("name", String, nullable=False),  # of the index or the model; empty for click models
    Column("target", String, nullable=False),  # a generation, a model, or what the setting click_model can be
    Column("share", Float, nullable=False),  # of the sessions
    Column("released_ms", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
"""One row per activation; nothing is changed or deleted."""


@dataclass(frozen=True, slots=True)
class Release:
    """One activation. `name` is empty for click models."""

    id: int
    kind: Kind
    name: str
    target: str
    share: float
    released_ms: int


@dataclass(frozen=True, slots=True)
class Serving:
    """What serves one session: the catalog, how clicks are read, which models stand in for others, and the arm of its
    canary, if one is on trial. Whoever works with its models holds on to it, and they are there until he is done."""

    catalog: Catalog
    clicks: ClickReader
    models: Mapping[str, str] = field(default_factory=dict)
    arm: str | None = None
    lease: Lease = field(default_factory=Lease)


@dataclass(frozen=True, slots=True)
class _Canary:
    """A release on trial, ready: what it makes of what serves the others."""

    release: Release
    change: Callable[[Serving], Serving]


@dataclass(frozen=True, slots=True)
class _State:
    """All that serves at one moment; replaced as one."""

    known: int  # how many releases there were
    stable: Serving
    whole: tuple[Release, ...]
    canaries: tuple[_Canary, ...]


class Releases:
    """The releases of one service. Thread-safe."""

    def __init__(self, catalog: Catalog, store: Store, click_model: str) -> None:
        """Errors: those of `ClickReader`."""
        self.catalog, self._store, self._click_model = catalog, store, click_model
        self._state = _State(0, Serving(catalog, ClickReader(click_model)), (), ())
        self._retired = Retired()
        self._changing = threading.Lock()
        self._stopping = threading.Event()
        self._follower: threading.Thread | None = None

    def serving(self, key: str) -> Serving:
        """What serves the session (or the user, or the query) that `key` names: always the same while nothing is
        released."""
        state = self._state
        serving, arm = state.stable, None
        for canary in state.canaries:
            chosen = share_of(key, f"canary {canary.release.id}") < canary.release.share
            side: Side = "second" if chosen else "first"
            arm = arm or Split(f"{CANARY}{canary.release.id}", side).arm
            serving = canary.change(serving) if chosen else serving
        return replace(serving, arm=arm) if arm else serving

    def activate(self, kind: Kind, name: str, target: str | None, share: float = 1.0) -> Release:
        """Have a target serve a share of the sessions. Durable on return, and serving here.

        `target` None is the newest generation of an index. Raises NotFoundError or UnavailableError for a name or a
        target that is not there or cannot be loaded, ConflictError where another process writes to the index.
        """
        if kind == "index":
            target = self._generation(name, target)
        if target is None:
            raise InputError("The target is missing.", "Name the model that is to serve.")
        draft = Release(0, kind, name, target, share, 0)
        try:
            if kind == "index" and share == 1:
                self.catalog.index(name)[1].activate(target)
            elif share > 0:
                self._ready(draft)  # before it is told to anybody, and before anybody has to wait for it
            with self._changing:
                release = self._recorded(draft)
                self._apply(self._all())
        finally:
            self._retired.consider(_models_of([draft]))  # also where it was loaded in vain
            self._retire()
        return release

    def look(self) -> None:
        """Follow what other replicas have released. Raises UnavailableError where the store cannot be read."""
        # Counted: a release with a lower id than the newest may become visible after it, and none is ever deleted.
        with self._store.reading() as connection:
            known = connection.execute(select(func.count()).select_from(releases)).scalar_one()
        if known != self._state.known:
            with self._changing:
                self._apply(self._all())
        self._retire()

    def follow(self) -> None:
        """Look again and again, in a thread of its own, until `close`."""

        def following() -> None:
            while not self._stopping.wait(LOOK_SECONDS):
                try:
                    self.look()
                except ClickwiseError as error:  # the store is away: so are the releases, and it will be back
                    log.info("releases cannot be read: %s", error)
                except Exception:
                    log.exception("releases cannot be followed")

        self._follower = threading.Thread(target=following, name="clickwise-releases", daemon=True)
        self._follower.start()

    def close(self) -> None:
        self._stopping.set()
        if self._follower is not None:
            self._follower.join()

    def current(self) -> list[Release]:
        """What was released and serves now: whole releases, then canaries."""
        state = self._state
        return [*state.whole, *(canary.release for canary in state.canaries)]

    def _generation(self, name: str, target: str | None) -> str:
        from index import generations

        _, index = self.catalog.index(name)
        complete = generations.names(index.path)
        wanted = target or complete[-1]
        if wanted not in complete:
            raise NotFoundError(
                f"The index {name!r} has no generation {wanted!r}.", f"On disk are: {', '.join(complete)}."
            )
        return wanted

    def _ready(self, release: Release) -> Callable[[Serving], Serving]:
        """Open, load and warm the target; gives what it makes of what serves."""
        match release.kind:
            case "index":
                return self._ready_index(release)
            case "model":
                return self._ready_model(release)
            case "click-model":
                clicks = ClickReader(release.target)
                return lambda serving: replace(serving, clicks=clicks)

    def _ready_index(self, release: Release) -> Callable[[Serving], Serving]:
        name, index = self.catalog.index(release.name)
        fixed = index.at(release.target)
        fixed.warm_up()
        return lambda serving: replace(serving, catalog=serving.catalog.having(indexes={name: fixed}))

    def _ready_model(self, release: Release) -> Callable[[Serving], Serving]:
        known = {model for spec in self.catalog.specs.values() for model in models(spec)}
        if release.name not in known:
            raise NotFoundError(
                f"No pipeline uses a model {release.name!r}.", f"Those in use: {', '.join(sorted(known)) or 'none'}."
            )
        for spec in self.catalog.specs.values():
            for stage in with_models(spec, {release.name: release.target}).stages:
                if isinstance(stage.does, Modelled) and stage.does.model == release.target:
                    stage.does.load()
        self._load_for_texts(release)
        return lambda serving: self._with_models(serving, {**serving.models, release.name: release.target})

    def _load_for_texts(self, release: Release) -> None:
        """Load the model also for texts of the lengths that the one which serves is loaded for."""
        from ranking.learning.engines import engine, lengths

        for tokens in lengths(self._state.stable.models.get(release.name, release.name)):
            engine(release.target, tokens)

    def _with_models(self, serving: Serving, targets: Mapping[str, str]) -> Serving:
        specs = {name: with_models(spec, targets) for name, spec in self.catalog.specs.items()}
        return replace(serving, catalog=serving.catalog.having(specs=specs), models=targets)

    def _recorded(self, draft: Release) -> Release:
        row = {"kind": draft.kind, "name": draft.name, "target": draft.target, "share": draft.share}
        now = now_ms()  # the load may have taken a while
        fresh = insert(releases).values(**row, released_ms=now).returning(releases.c.release_id)
        with self._store.writing() as connection:
            return replace(draft, id=connection.execute(fresh).scalar_one(), released_ms=now)

    def _all(self) -> list[Release]:
        with self._store.reading() as connection:
            rows = connection.execute(select(releases).order_by(releases.c.release_id)).all()
        return [Release(*row) for row in rows]

    def _apply(self, released: Sequence[Release]) -> None:
        """Serve what these releases say. One that cannot be had (any more) is told to the log, and left out."""
        whole, trials = _in_force(released)
        stable = Serving(self.catalog, ClickReader(self._click_model))
        before = {canary.release.id: canary for canary in self._state.canaries}
        for release in whole:
            if release.kind != "index" and (change := self._tried(release)) is not None:
                stable = change(stable)
        canaries = []
        for release in trials:
            change = before[release.id].change if release.id in before else self._tried(release)
            if change is not None:
                canaries.append(_Canary(release, change))
        self._retired.consider(_models_of(released))
        self._retired.replaced(self._state.stable.lease)
        self._state = _State(len(released), stable, tuple(whole), tuple(canaries))

    def _retire(self) -> None:
        """Close the models that serve nobody any more, when those who have worked with them are done."""

        def needed() -> set[str]:
            state = self._state
            servings = [state.stable, *(canary.change(state.stable) for canary in state.canaries)]
            return {model for one in servings for spec in one.catalog.specs.values() for model in models(spec)}

        with self._changing:  # else what is loaded there could be closed before it serves
            self._retired.close_all_but(needed)

    def _tried(self, release: Release) -> Callable[[Serving], Serving] | None:
        try:
            return self._ready(release)
        except ClickwiseError as error:
            log.error("release %d (%s %s) does not serve: %s", release.id, release.kind, release.target, error)
            return None


def _models_of(released: Iterable[Release]) -> set[str]:
    """The models that were exchanged for others, and those others."""
    return {model for release in released if release.kind == "model" for model in (release.name, release.target)}


def _in_force(released: Sequence[Release]) -> tuple[list[Release], list[Release]]:
    """The newest whole release of every name, and its newest canary after that."""
    whole: dict[tuple[str, str], Release] = {}
    trials: dict[tuple[str, str], Release] = {}
    for release in released:
        what = (release.kind, release.name)
        if release.share >= 1:
            whole[what] = release
        trials.pop(what, None)
        if 0 < release.share < 1:
            trials[what] = release
    return list(whole.values()), list(trials.values())
