from __future__ import annotations

from pathlib import Path

import pytest
import torch

from index.errors import NotFoundError, UnavailableError
from ranking.learning.delta import Delta, wide


@pytest.fixture
def delta() -> Delta:
    random = torch.Generator().manual_seed(0)
    return Delta(
        {
            "up.weight.a": torch.randn((2, 4), generator=random),
            "up.weight.b": torch.randn((6, 2), generator=random),
            "up.bias": torch.randn(6, generator=random),
            "down.weight": torch.randn((4, 6), generator=random),
        },
        {"scale": 2.5, "rates": [{"head": 0.1}]},
    )


def test_a_file_gives_back_the_numbers_and_what_is_known_of_them(delta: Delta, tmp_path: Path) -> None:
    delta.save(tmp_path / "own.safetensors")
    again = Delta.load(tmp_path / "own.safetensors")
    assert again.about == delta.about
    assert again.digest == delta.digest
    assert again.bytes == delta.bytes == 4 * (8 + 12 + 6 + 24)


def test_a_file_that_is_missing_or_damaged_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "damaged.safetensors").write_bytes(b"no")
    with pytest.raises(UnavailableError, match=r"damaged\.safetensors cannot be read"):
        Delta.load(tmp_path / "damaged.safetensors")
    with pytest.raises(NotFoundError, match=r"There is no model at .*missing\.safetensors\. Check the path\."):
        Delta.load(tmp_path / "missing.safetensors")


def test_the_digest_knows_names_and_numbers(delta: Delta) -> None:
    moved = Delta({**delta.tensors, "up.bias": delta.tensors["up.bias"] + 1e-6})
    renamed = Delta({"other.bias" if name == "up.bias" else name: t for name, t in delta.tensors.items()})
    assert len({delta.digest, moved.digest, renamed.digest}) == 3


def test_added_to_parameters_it_computes_what_it_computes_beside_them(delta: Delta) -> None:
    random = torch.Generator().manual_seed(1)
    p = {"up.weight": torch.randn((6, 4), generator=random), "up.bias": torch.randn(6, generator=random)}
    p |= {"down.weight": torch.randn((4, 6), generator=random)}
    changed = delta.added_to(p)
    x, y = torch.randn((3, 4), generator=random), torch.randn((3, 6), generator=random)
    thin, dense = delta.product("up.weight", x), delta.product("down.weight", y)
    assert thin is not None
    assert dense is not None
    torch.testing.assert_close(x @ changed["up.weight"].T, x @ p["up.weight"].T + thin)
    torch.testing.assert_close(y @ changed["down.weight"].T, y @ p["down.weight"].T + dense)
    torch.testing.assert_close(changed["up.bias"], p["up.bias"] + delta.tensors["up.bias"])
    assert delta.changes("up.weight")
    assert not delta.changes("down.bias")
    assert delta.product("other", x) is None
    assert delta.vector("other", x) is None


def test_a_change_of_what_is_not_there_is_an_error(delta: Delta) -> None:
    with pytest.raises(KeyError):
        delta.added_to({"up.bias": torch.zeros(6)})


def test_detached_is_a_copy(delta: Delta) -> None:
    copy = delta.detached()
    delta.tensors["up.bias"].add_(1.0)
    assert copy.digest != delta.digest


def test_wide_is_at_least_single_precision() -> None:
    kinds = [wide(torch.zeros(1, dtype=dtype)).dtype for dtype in (torch.bfloat16, torch.float32, torch.float64)]
    assert kinds == [torch.float32, torch.float32, torch.float64]
