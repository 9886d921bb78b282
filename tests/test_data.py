import time

from nnopt_lab import data

import numpy as np
import pytest
import torch


def test_mnist1d_has_the_sizes_promised():
    d = data.mnist1d()
    assert d.x_train.shape == (4000, 40)
    assert d.x_validation.shape == (2000, 40)
    assert d.x_test.shape == (10_000, 40)
    assert d.x_train.dtype == torch.float32
    assert d.y_test.dtype == torch.int64
    assert set(d.y_train.tolist()) == set(range(10))


def test_a_smaller_training_set_is_the_beginning_of_a_larger_one():
    small, large = data.mnist1d(10), data.mnist1d(20_000)
    assert torch.equal(small.x_train, large.x_train[:10])
    assert torch.equal(small.x_test, large.x_test)


def test_no_sample_is_in_two_sets():
    d = data.mnist1d(20_000)
    rows = torch.cat([d.x_train, d.x_validation, d.x_test])
    assert len(rows.unique(dim=0)) == 32_000


@pytest.mark.parametrize("n_train", [0, -1, 20_001, 1.5, "4000", None, True])
def test_bad_sizes_are_refused(n_train):
    with pytest.raises(ValueError, match="whole number from 1 to 20000"):
        data.mnist1d(n_train)


def test_digits():
    d = data.digits()
    assert (len(d.x_train), len(d.x_validation), len(d.x_test)) == (1000, 297, 500)
    assert d.x_train.min() == 0
    assert d.x_train.max() == 1


@pytest.mark.parametrize("name", ["mnist1d", "digits"])
def test_the_command_makes_the_shipped_arrays_again(name):
    made = getattr(data, f"make_{name}")()
    shipped = np.load(data._ARRAYS / f"{name}.npz")
    assert made.keys() == set(shipped)
    for key in made:
        # the last bit of a float16 may differ where numpy uses other instructions
        np.testing.assert_allclose(made[key].astype(float), shipped[key].astype(float), atol=2e-3)


def test_shipped_arrays_are_small_and_quick_to_load():
    assert sum(path.stat().st_size for path in data._ARRAYS.iterdir()) < 5_000_000
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        data.mnist1d()
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.1


def test_global_random_state_is_left_alone():
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    expected = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    data.mnist1d()
    data.digits()
    assert (torch.rand(1), np.random.rand()) == expected  # noqa: NPY002


def test_to_changes_inputs_only():
    d = data.digits().to(torch.float64)
    assert d.x_test.dtype == torch.float64
    assert d.y_test.dtype == torch.int64
    assert data.digits().to("cpu").x_train.device.type == "cpu"
