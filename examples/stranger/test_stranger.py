"""Tests of the stranger's kernel. Each starts where start() calls run_jobs(): the pool is open, no job has run yet."""

import pytest

NONE = 0xFFFFFFFF  # -1, as a C function returns it
LOGGER = 2
UNIT = 32


def test_blocks_are_powers_of_two(kernel):
    first = kernel.call("pool_take", 33)
    second = kernel.call("pool_take", 1)
    assert first % 64 == 0
    assert second % UNIT == 0
    assert kernel.object("pool").free_bytes == 64 * 1024 - 64 - UNIT


def test_nothing_of_the_last_test_is_left(kernel):
    assert kernel.object("pool").free_bytes == 64 * 1024


@pytest.mark.parametrize("size", [0, 64 * 1024 + 1, NONE])
def test_what_cannot_be_had(kernel, size):
    assert kernel.call("pool_take", size) == 0


@pytest.mark.kmem_no_leaks
def test_buddies_join(kernel):
    blocks = [kernel.call("pool_take", UNIT) for _ in range(8)]
    for block in blocks[::2] + blocks[1::2]:
        kernel.call("pool_give", block)
    assert kernel.call("pool_take", 64 * 1024) == min(blocks)
    kernel.call("pool_give", min(blocks))


@pytest.mark.kmem_expect("double-free")
def test_a_second_give_is_refused(kernel):
    block = kernel.call("pool_take", 100)
    kernel.call("pool_give", block)
    kernel.call("pool_give", block)
    assert kernel.object("pool").refusals == 1


@pytest.mark.kmem_no_leaks
@pytest.mark.kmem_limit("1 KiB")
def test_jobs_need_little_and_keep_nothing(kernel):
    kernel.expect("too hot: 73\n")
    kernel.expect("all jobs are idle\n")


@pytest.mark.kmem_fail_nth(1)
def test_a_message_without_memory_is_not_sent(kernel):
    text = kernel.symbol("queues")  # any readable address will do
    assert kernel.call("post", LOGGER, text, 1) == NONE
    assert kernel.object("queues")[LOGGER].length == 0


@pytest.mark.kmem_fail_nth(2)
def test_a_sensor_without_memory_says_so(kernel):
    kernel.expect("sensor: no memory\n")
    kernel.expect("all jobs are idle\n")
