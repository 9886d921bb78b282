from dataclasses import replace

from nnopt_lab.distributed.scaling import (
    FITTED,
    LINKS,
    TEXTBOOK,
    WORKLOADS,
    Free,
    Link,
    all_reduce_seconds,
    efficiency_of,
    fit,
    leave_one_out,
    link_of,
    points,
    predict,
    series,
    time_to_train,
    timeline,
)

import numpy as np
import pytest

V100 = {"link": "NVLink V100", "network": "100 Gbit InfiniBand"}


@pytest.fixture(scope="module")
def published():
    return points()


@pytest.fixture(scope="module")
def used(published):
    return published.isel(point=published.fitted.values)


def test_an_all_reduce_by_hand():
    link = LINKS["NVLink V100"]
    # 40 MB are two buckets; on 4 devices each sends 6 messages, and one and a half times its bytes
    by_hand = 2 * (8.4e-6 + 6 * 3.4e-6) + 1.5 * 40e6 / link.bandwidth
    assert all_reduce_seconds(40e6, 4, link="NVLink V100") == pytest.approx(by_hand)
    assert all_reduce_seconds(40e6, 1, link="NVLink V100") == 0


def test_the_slowest_link_and_the_shorter_way_count():
    inside = all_reduce_seconds(40e6, 8, **V100)
    between = all_reduce_seconds(40e6, 16, **V100)
    bytes_alone = 2 * 15 / 16 * 40e6 / LINKS["100 Gbit InfiniBand"].bandwidth
    assert inside < bytes_alone < between < 1.1 * bytes_alone
    # a tree is faster there: up and down seven devices of a node, and 128 = 2 ** 7 nodes
    up_and_down = 2 * (7 + 7) * 28e-6
    assert all_reduce_seconds(1, 1024, **V100) == pytest.approx(up_and_down, rel=1e-3)
    slow_inside = all_reduce_seconds(1e9, 16, link="PCIe 3 x16", network="400 Gbit InfiniBand")
    assert slow_inside == pytest.approx(2 * 15 / 16 * 1e9 / 12e9, rel=0.1)


def test_one_bucket_more_is_one_round_of_messages_more():
    two, three = (all_reduce_seconds(n * 25 * 2**20, 8, link="NVLink V100") for n in (2, 3))
    sent = 2 * 7 / 8 * 25 * 2**20 / LINKS["NVLink V100"].bandwidth
    assert three - two == pytest.approx(8.4e-6 + 14 * 3.4e-6 + sent)


def test_more_devices_never_reduce_faster():
    found = [all_reduce_seconds(6e9, n, **V100) for n in range(1, 200)]
    assert (np.diff(found) > 0).all()


def test_a_step_by_hand():
    found = predict(25e6, 0.3, [1, 8, 16], **V100)
    eight = found.sel(devices=8)
    a = all_reduce_seconds(100e6, 8, link="NVLink V100")
    assert float(eight.step) == pytest.approx(0.3 * (1 + FITTED.tax) + (1 - FITTED.hidden) * a)
    assert float(eight.speed_up) == pytest.approx(8 * 0.3 / float(eight.step))
    one = found.sel(devices=1)
    assert (float(one.step), float(one.efficiency), float(one.tax)) == (0.3, 1, 0)
    np.testing.assert_allclose(found.step, found.computation + found.tax + found.exposed)


def test_a_long_all_reduce_hides_no_longer_than_the_backward_pass():
    found = predict(1.5e9, 0.3, [16], **V100, free=TEXTBOOK)
    assert float(found.exposed[0]) == pytest.approx(float(found.all_reduce[0]) - 0.2)


def test_the_textbook_promises_more():
    n = [2, 8, 64, 512]
    ours, theirs = (predict(110e6, 0.2, n, **V100, free=f).efficiency for f in (FITTED, TEXTBOOK))
    assert (ours < theirs).all()


def test_shared_out_a_batch_scales_worse_than_when_each_keeps_its_own():
    weak = predict(25e6, 0.3, [1, 8, 64], **V100)
    strong = predict(25e6, 0.3, [1, 8, 64], **V100, scaling="strong")
    assert (strong.efficiency[1:] < weak.efficiency[1:]).all()
    np.testing.assert_allclose(strong.computation, 0.3 / np.array([1, 8, 64]))
    assert float(strong.speed_up[0]) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parameters": 0}, "parameters is 0; give a number above 0."),
        ({"seconds": -1.0}, "seconds is -1.0; give a number above 0."),
        ({"seconds": np.inf}, "seconds is inf; give a number above 0."),
        ({"devices": [0]}, "is 0; give a whole number from 1."),
        ({"devices": [2.5]}, "is 2.5; give a whole number from 1."),
        ({"devices": [True]}, "is True; give a whole number from 1."),
        ({"per_node": 0}, "is 0; give a whole number from 1."),
        ({"link": "NVLink"}, "link is 'NVLink'; give a Link, or one of NVLink P100, "),
        ({"network": None}, "16 devices are 2 nodes: name the network between them."),
        (
            {"devices": [1], "network": "foo"},
            "network is 'foo'; give a Link, or one of NVLink P100, ",
        ),
        ({"devices": [np.nan]}, "is nan; give a whole number from 1."),
        ({"scaling": "strange"}, "scaling is 'strange'; give 'weak' or 'strong'."),
    ],
)
def test_what_makes_no_sense_is_said(change, words):
    given = {"parameters": 25e6, "seconds": 0.3, "devices": [1, 16], **V100, **change}
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        predict(given.pop("parameters"), given.pop("seconds"), given.pop("devices"), **given)


def test_the_points_agree_with_themselves(published):
    assert set(published.link.values) <= set(LINKS)
    assert set(published.network.values) <= {*LINKS, ""}
    np.testing.assert_array_equal(published.nodes, -(-published.devices // published.per_node))
    assert ((published.efficiency > 0) & (published.efficiency < 1.02)).all()
    assert (published.source != "").all()


def test_fitted_is_the_best_implementation_of_each_case(published):
    known = (published.collective == "all-reduce") & published.step_seconds.notnull()
    ring = published.isel(point=known.values)
    cases = [
        "|".join(map(str, case))
        for case in zip(
            *(ring[n].values for n in ("hardware", "model", "precision", "batch")), strict=True
        )
    ]
    for case in dict.fromkeys(cases):
        mine = ring.isel(point=[c == case for c in cases])
        at_most = mine.isel(point=(mine.devices == mine.devices.max()).values)
        best = at_most.implementation.values[int(at_most.efficiency.argmax(...)["point"])]
        np.testing.assert_array_equal(mine.fitted, mine.implementation == best)
    assert int(published.fitted.sum()) == int(ring.fitted.sum())  # and nothing else


def test_the_constants_are_what_the_points_give(published):
    assert fit(published) == FITTED


def test_a_fit_finds_the_constants_that_made_the_points(published, used):
    made = replace(FITTED, tax=0.1, hidden=0.7)
    assert fit(used.assign(efficiency=efficiency_of(used, made))) == made


def test_the_model_predicts_series_that_it_has_not_seen(published, used):
    missed = 100 * abs(leave_one_out(published) - used.efficiency)
    textbook = 100 * abs(efficiency_of(used, TEXTBOOK) - used.efficiency)
    assert float(missed.mean()) < 4 < 8 < float(textbook.mean())
    names, efficiency = series(used), used.efficiency.values
    typical = [np.median(efficiency[names != name]) for name in names]  # knows nothing of the case
    assert float(missed.mean()) < 0.8 * 100 * abs(typical - efficiency).mean()


@pytest.mark.parametrize("constants", [(-0.1, 0.5), (0, 1.1), (np.nan, 0.5)])
def test_free_constants_are_shares(constants):
    with pytest.raises(ValueError, match="give a tax from 0, and a hidden share from 0 to 1"):
        Free(*constants)


def test_a_series_is_left_out_whole(published, used):
    names = series(used)
    for name in dict.fromkeys(names):
        mine = names == name
        others = fit(used.isel(point=~mine))
        expected = efficiency_of(used.isel(point=mine), others)
        np.testing.assert_array_equal(leave_one_out(published)[mine], expected)
        break
    assert len(dict.fromkeys(names)) >= 15


def test_goyal_is_compared_with_eight_devices(used):
    theirs = used.isel(point=(used.base_devices == 8).values)
    assert theirs.devices.values.tolist() == [256, 352]
    assert (
        efficiency_of(theirs) > efficiency_of(theirs.assign(base_devices=theirs.nodes * 0 + 1))
    ).all()


LANES = {"steps": 200, "jitter": 0.2}


def test_without_jitter_nobody_waits():
    found = timeline(0.3, 0.1, devices=4, steps=3, jitter=0)
    np.testing.assert_allclose(found.computation, 0.3)
    np.testing.assert_allclose(found.wait, 0, atol=1e-12)
    np.testing.assert_allclose(found.start, [0, 0.4, 0.8], atol=1e-12)
    alone = timeline(0.3, 0.1, devices=1, steps=3, jitter=0)
    np.testing.assert_allclose(alone.start, [0, 0.3, 0.6], atol=1e-12)  # nobody to reduce with


def test_all_wait_for_the_slowest():
    found = timeline(0.3, 0.1, devices=8, **LANES)
    together = (found.computation + found.wait).values
    np.testing.assert_allclose(together, together[:, :1].repeat(8, axis=1))
    assert (found.wait.isel(device=found.slowest) == 0).all()
    np.testing.assert_allclose(np.diff(found.start), together[:-1, 0] + 0.1)


def test_jitter_has_the_spread_that_was_asked_and_keeps_the_mean():
    drawn = timeline(0.3, 0.1, devices=50, **LANES).computation
    assert float(drawn.mean()) == pytest.approx(0.3, rel=0.02)
    assert float(drawn.std()) == pytest.approx(0.06, rel=0.05)


def test_more_devices_wait_longer_and_leave_the_first_as_they_are():
    few, many = (timeline(0.3, 0.1, devices=n, **LANES) for n in (4, 64))
    np.testing.assert_array_equal(few.computation, many.computation[:, :4])
    assert (many.start[1:] > few.start[1:]).all()
    # the largest of 64 normal draws lies 2.4 deviations above the mean, that of 4 lies 1.0
    assert float(many.computation.max("device").mean()) == pytest.approx(0.3 * 1.56, rel=0.03)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"devices": 0}, "devices is 0; give a whole number from 1."),
        ({"steps": 1.5}, "steps is 1.5; give a whole number from 1."),
        ({"jitter": -0.1}, "jitter is -0.1; give a number from 0."),
        ({"all_reduce": np.nan}, "all_reduce is nan; give a number from 0."),
        ({"seconds": 0}, "seconds is 0; give a number above 0."),
    ],
)
def test_a_timeline_that_makes_no_sense_is_refused(change, words):
    given = {"seconds": 0.3, "all_reduce": 0.1, "devices": 4, "steps": 3, "jitter": 0.1, **change}
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        timeline(given.pop("seconds"), given.pop("all_reduce"), **given)


def test_sixty_four_times_the_devices_are_eleven_times_as_fast():
    found = time_to_train()
    bert = found.isel(point=(found.benchmark == "BERT").values)
    few, many = bert.isel(point=0), bert.isel(point=-1)
    assert float(many.devices / few.devices) == 64
    assert float(few.minutes / many.minutes) == pytest.approx(11, abs=0.5)


def test_workloads_are_what_was_published():
    published = points()
    names = set(published.model.values.tolist()) & set(WORKLOADS)
    assert names == {"ResNet-50", "VGG16", "BERT-base"}
    for name in names:
        load = WORKLOADS[name]
        rows = (published.model == name) & (published.batch == load.batch)
        assert load.seconds in published.step_seconds[rows.values].values
        assert load.parameters in published.parameters[rows.values].values
    assert WORKLOADS["GPT, 7 billion"].memory == 112e9
    per_weight = {
        load.seconds / load.parameters for name, load in WORKLOADS.items() if name.startswith("GPT")
    }
    assert all(seconds == pytest.approx(1.288 / 1.2e9, rel=0.001) for seconds in per_weight)


def test_a_link_of_ones_own_may_be_given():
    named = predict(25e6, 0.1, [1, 8, 64], link="NVLink V100", network="100 Gbit InfiniBand")
    own = predict(25e6, 0.1, [1, 8, 64], link=LINKS["NVLink V100"], network=Link(12e9, 14e-6))
    assert named.equals(own)
    for bad in ((0, 1e-6), (1e9, -1), (float("nan"), 0)):
        with pytest.raises(ValueError, match="give a bandwidth above 0, and a latency from 0"):
            Link(*bad)


def test_a_link_follows_from_two_all_reduces():
    link = Link(2e9, 3e-4)
    for n in (2, 4):
        sizes = (30_000.0, 4_400_000.0)
        took = tuple(all_reduce_seconds(size, n, link=link) for size in sizes)
        found = link_of(sizes, took, n)
        assert (found.bandwidth, found.latency) == pytest.approx((2e9, 3e-4))
    assert link_of((1.0, 1e9), (1e-9, 1.0), 2).latency == 0
    for bad in (
        ((2.0, 1.0), (1.0, 2.0), 2),
        ((1.0, 2.0), (2.0, 1.0), 2),
        ((1.0, 2.0), (1.0, 2.0), 1),
    ):
        with pytest.raises(ValueError, match="give few bytes and many that took longer"):
            link_of(*bad)
