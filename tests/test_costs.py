import gzip
import io
import time

from nnopt_lab import costs, pruning
from nnopt_lab.grid import grid
from nnopt_lab.networks import mlp

import pytest
import torch
from torch import nn


def sparse_network(width: int = 64, sparsity: float = 0.9) -> nn.Sequential:
    population = mlp([40, width, width, 10], grid(seed=[0]))
    pruning.apply(population, pruning.keep_largest(pruning.magnitude(population), sparsity))
    return population.unstack(0)


def test_bytes_are_those_of_the_file_that_torch_saves(tmp_path):
    network = sparse_network()
    torch.save(network.state_dict(), tmp_path / "network.pt")
    content = (tmp_path / "network.pt").read_bytes()
    assert costs.n_bytes(network) == pytest.approx(len(content), abs=200)  # it holds its own name
    zipped = costs.n_bytes(network, gzipped=True)
    assert zipped == pytest.approx(len(gzip.compress(content)), rel=0.02)


def test_zeros_shrink_the_zipped_file_only():
    dense, pruned = sparse_network(sparsity=0), sparse_network(sparsity=0.9)
    assert costs.n_bytes(dense) == costs.n_bytes(pruned)
    assert costs.n_bytes(pruned, gzipped=True) < 0.3 * costs.n_bytes(dense, gzipped=True)


@pytest.mark.parametrize("sparsity", [0, 0.9, 1])
def test_csr_gives_the_same_outputs(sparsity):
    network, x = sparse_network(sparsity=sparsity), torch.randn(7, 40)
    sparse = costs.csr(network)
    torch.testing.assert_close(sparse(x), network(x).detach(), atol=1e-5, rtol=1e-5)
    file = io.BytesIO()
    torch.save(sparse.state_dict(), file)
    assert costs.n_bytes(sparse) == len(file.getvalue())


def test_csr_takes_eight_bytes_a_weight():
    few, more = (costs.n_bytes(costs.csr(sparse_network(256, s))) for s in (0.99, 0.5))
    n_more = round(0.49 * (40 * 256 + 256 * 256 + 256 * 10))
    assert (more - few) / n_more == pytest.approx(8, rel=0.05)


def test_csr_needs_no_bias_and_refuses_other_modules():
    network = nn.Sequential(nn.Linear(40, 10, bias=False))
    x = torch.randn(3, 40)
    torch.testing.assert_close(costs.csr(network)(x), network(x).detach())
    with pytest.raises(TypeError, match="not Tanh"):
        costs.csr(nn.Sequential(nn.Linear(4, 2), nn.Tanh()))


def test_calls_are_timed_in_turn_on_one_thread():
    seen, n_threads = [], torch.get_num_threads()

    def call(name: str, rest: float) -> None:
        seen.append((name, torch.get_num_threads(), torch.is_grad_enabled()))
        time.sleep(rest)

    calls = {"a": lambda: call("a", 0), "b": lambda: call("b", 0.01)}
    taken = costs.seconds(calls, rounds=2, repeats=3)
    assert taken.dims == ("call", "round")
    assert taken.sizes == {"call": 2, "round": 2}
    assert sorted(seen) == [("a", 1, False)] * 9 + [("b", 1, False)] * 9
    rounds = [(seen[i], seen[i + 1]) for i in range(6, 18, 2)]
    assert all(first != second for first, second in rounds)
    assert len(set(rounds)) == 2  # either order
    assert (taken.sel(call="b") >= 0.01).all()
    assert (taken.sel(call="a") < taken.sel(call="b")).all()
    assert torch.get_num_threads() == n_threads


def test_bad_timings_are_refused():
    with pytest.raises(ValueError, match="nothing to time"):
        costs.seconds({})
    with pytest.raises(ValueError, match="repeats is 0"):
        costs.seconds({"a": int}, repeats=0)
    with pytest.raises(ValueError, match="n_threads is True"):
        costs.seconds({"a": int}, n_threads=True)


def test_calls_are_timed_on_as_many_threads_as_asked_for():
    seen, n_threads = set(), torch.get_num_threads()
    costs.seconds({"a": lambda: seen.add(torch.get_num_threads())}, n_threads=n_threads + 1)
    assert seen == {n_threads + 1}
    assert torch.get_num_threads() == n_threads


def test_work_is_that_of_arithmetic_by_hand():
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0, 2], [0, 0, 3]]))
    values = 4 * (3 * 5 + 2 * 5 + 2)  # in, out, bias
    assert costs.work(layer, 5) == (2 * 3 * 5, 4 * 6 + values)
    assert costs.work(costs.CSR(layer), 5) == (2 * 3 * 5, 8 * 3 + 4 * 3 + values)


def test_layers_are_measured_below_the_roof():
    whole = nn.Linear(512, 512)
    found = costs.measured({"whole": whole, "sparse": costs.CSR(whole)}, 64)
    assert found.version.values.tolist() == ["whole", "sparse"]
    assert found.operations.values.tolist() == [2 * 512 * 512 * 64] * 2
    assert (found.seconds > 0).all()
    roof = costs.roof()
    assert 1e8 < roof.n_bytes < roof.operations
    assert (found.operations / found.seconds < 2 * roof.operations).all()
