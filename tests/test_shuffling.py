from nnopt_lab.shuffling import reshuffled

import torch


def test_networks_of_equal_seed_see_equal_orders_new_every_epoch():
    order = reshuffled(50, [3, 1, 3])
    first, second = order(0), order(1)
    assert torch.equal(first[0], first[2])
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)
    assert torch.equal(first.sort(1).values, torch.arange(50).expand(3, -1))
    assert torch.equal(first, reshuffled(50, [3, 1, 3])(0))
