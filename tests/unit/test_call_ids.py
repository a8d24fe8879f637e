"""Ids of calls: never the same twice, in any thread or process."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

from portal.gateway import call_ids
from portal.gateway.call_ids import CallIds


def test_an_id_is_a_uuid_that_its_maker_defines() -> None:
    for _ in range(100):
        found = CallIds().new()
        assert (found.version, found.variant) == (8, RFC_4122)


def test_threads_get_ids_of_their_own() -> None:
    ids = CallIds()
    with ThreadPoolExecutor(8) as threads:
        found = [each for some in threads.map(lambda _: _some(ids), range(8)) for each in some]
    assert len(set(found)) == len(found)


def _some(ids: CallIds) -> list[UUID]:
    return [ids.new() for _ in range(2000)]


def test_processes_get_ids_of_their_own() -> None:
    forks = multiprocessing.get_context("fork")
    with forks.Pool(2) as processes:
        found = {each.int >> 48 for each in processes.starmap(call_ids.new, [()] * 50, 25)}
    assert found.isdisjoint({call_ids.new().int >> 48})


def test_what_makes_ids_differ_are_74_random_bits() -> None:
    drawn = [CallIds().new().int >> 48 for _ in range(300)]
    changing = 0
    for each in drawn:
        changing |= each ^ drawn[0]
    assert changing.bit_count() == 74
