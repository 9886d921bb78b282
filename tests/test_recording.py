from nnopt_lab.data import digits
from nnopt_lab.grid import grid
from nnopt_lab.networks import mlp
from nnopt_lab.recording import Recorder, accuracy_on
from nnopt_lab.training import evaluate, train

import numpy as np
import pytest
import torch

DATA, RUNS = digits(), grid(lr=[0.01, 0.1], seed=range(3))


def trained(*recorders: Recorder, epochs: int = 2):
    model = mlp([64, 16, 10], RUNS)
    return model, train(model, DATA, RUNS, epochs=epochs, lr=0.1, watch=recorders)


def test_accuracy_at_some_updates_from_before_the_first():
    recorder = Recorder(accuracy_on(DATA.x_test, DATA.y_test), at=[0, 5, 8, 16, 32, 99])
    _, history = trained(recorder)
    records = recorder.dataset(RUNS)
    assert records.accuracy.dims == ("lr", "seed", "step")
    assert records.step.values.tolist() == [0, 5, 8, 16, 32]
    np.testing.assert_array_equal(records.accuracy.sel(step=32), history.test_accuracy)
    np.testing.assert_array_equal(records.loss.sel(step=32), history.test_loss)
    start = evaluate(mlp([64, 16, 10], RUNS), DATA.x_test, DATA.y_test)[1]
    np.testing.assert_array_equal(records.accuracy.sel(step=0).values.ravel(), start)


def test_anything_is_measured_by_network_and_further_dimensions():
    def measure(model):
        weights = [model[0].weight, model[2].weight]
        norms = torch.stack([weight.flatten(1).norm(dim=1) for weight in weights], 1)
        return {"norm": norms, "first": model[0].weight[:, 0, 20]}

    recorder = Recorder(measure, at=np.array([0, 32]))
    model, _ = trained(recorder)
    records = recorder.dataset(RUNS, layer=["first", "last"])
    assert records.norm.dims == ("lr", "seed", "layer", "step")
    last = records.norm.sel(step=32, layer="last").values.ravel()
    np.testing.assert_allclose(last, model[2].weight.flatten(1).norm(dim=1).detach(), rtol=1e-6)
    assert records["first"].dims == ("lr", "seed", "step")
    assert not np.array_equal(records["first"].sel(step=0), records["first"].sel(step=32))


def test_a_recorder_used_twice_says_so():
    recorder = Recorder(accuracy_on(DATA.x_test, DATA.y_test), at=[16])
    trained(recorder)
    with pytest.raises(ValueError, match="watched a training already"):
        trained(recorder)


@pytest.mark.parametrize("at", [[-1], [True], [1.5], ["8"]])
def test_records_are_asked_for_at_whole_numbers(at):
    with pytest.raises(ValueError, match="give a whole number from 0"):
        Recorder(accuracy_on(DATA.x_test, DATA.y_test), at=at)


def test_nothing_recorded_is_said():
    recorder = Recorder(accuracy_on(DATA.x_test, DATA.y_test), at=[40])
    trained(recorder)
    with pytest.raises(ValueError, match=r"32 updates were watched, and records asked for at \[40"):
        recorder.dataset(RUNS)
