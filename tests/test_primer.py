"""The primer: its figures show what its arithmetic says, and its exercise tells mistakes apart."""

from nnopt_lab.exercises import primer as LESSON
from nnopt_lab.figures import primer

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.sparse import csr_array


@pytest.mark.parametrize(("rate", "momentum"), [(0.1, 0.0), (0.5, 0.9), (1.5, 0.5)])
def test_the_descent_is_that_of_torch(rate, momentum):
    weight = torch.tensor([primer.START], requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=rate, momentum=momentum)
    way = [primer.START]
    for _ in range(7):
        optimizer.zero_grad()
        (weight**2 / 2).sum().backward()
        optimizer.step()
        way.append(weight.item())
    drawn, said = primer.descent(rate, momentum, 6)
    path = drawn.data[1]
    np.testing.assert_allclose(path.x, way[:7], rtol=1e-5)
    np.testing.assert_allclose(path.y, np.square(way[:7]) / 2, rtol=1e-5)
    assert said.endswith(f"= {way[7] - way[6]:.3g}.".replace("-", "\N{MINUS SIGN}"))


def test_a_batch_is_framed_in_its_epoch_and_the_last_may_be_short():
    orders = [[3, 1, 4, 0, 2], [0, 1, 2, 3, 4]]
    drawn, said = primer.batches(orders, size=2, step=6)
    (frame,) = drawn.layout.shapes
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (3.5, 4.5, 1.5, 2.5)
    assert said == "Step 6: epoch 2, batch 3 of 3, samples 4."
    beyond, said = primer.batches(orders, size=2, step=7)
    assert not beyond.layout.shapes
    assert said == "Training has 2 epochs of 3 steps: it is over."


def test_csr_keeps_what_scipy_keeps():
    matrix = np.array([[0, 0, 0.7, 0], [0.2, 0, 0, -0.5], [0, 0, 0, 0]])
    theirs = csr_array(matrix)
    drawn, said = primer.csr(matrix, row=1)
    values, columns, starts = (
        [float(text.replace("\N{MINUS SIGN}", "-")) for text in row if text]
        for row in drawn.data[1].text
    )
    assert values == theirs.data.tolist()
    assert columns == theirs.indices.tolist()
    assert starts == theirs.indptr.tolist()
    assert said.startswith("Row 1 starts at place 1 and ends before 3: 2 of its 4 numbers")
    assert "0 of its 4 numbers" in primer.csr(matrix, row=2)[1]


@pytest.mark.parametrize(
    ("mine", "reason"),
    [
        (lambda samples, size: samples // size, "round up"),
        (lambda samples, size: samples / size, "Steps are whole"),
        (lambda samples, size: samples // size + 1, "Nothing is left over"),
        (lambda samples, size: size, "63 is right"),
    ],
)
def test_wrong_numbers_of_steps_get_their_own_reason(mine, reason):
    feedback = LESSON.steps.check(mine)
    assert feedback.outcome == "wrong"
    assert reason in feedback.words


def test_what_came_true_is_computed():
    accuracy = xr.DataArray(
        np.broadcast_to(np.array([0.2, 0.5, 0.1])[:, None, None], (3, 8, 2)),
        {"lr": [0.001, 0.1, 1]},
        ["lr", "seed", "epoch"],
    )
    asked = LESSON.rates(accuracy)
    assert asked["predict"].answers[asked["predict"].right] == "they guess: 10 %"
    assert all(row["holds"] for row in asked["shows"].rows)
    learns = LESSON.rates(xr.where(accuracy.lr == 1, 0.7, accuracy))
    assert learns["predict"].answers[learns["predict"].right] == "more than that"
    assert not learns["shows"].rows[1]["holds"]


def test_how_far_known_and_new_samples_lie_apart():
    apart = xr.DataArray(
        np.array([[0.9, 0.3], [0.6, 0.55]])[:, :, None] * np.ones(8),
        {"samples": [250, 4000], "measured": ["on training samples", "on validation samples"]},
        ["samples", "measured", "seed"],
    )
    assert [row["holds"] for row in LESSON.seen_and_new(apart).rows] == [True, True]
    assert [row["holds"] for row in LESSON.seen_and_new(1 - apart).rows] == [False, True]
