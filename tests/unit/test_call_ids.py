"""Ids of calls: never the same twice, in any thread or process."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID, uuid4

from portal.services import call_ids
from portal.services.call_ids import CallIds, Names


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


def test_names_say_nothing_of_the_order_and_are_the_same_everywhere() -> None:
    ids = CallIds()
    some = [ids.new() for _ in range(100)]
    here, there = Names(7), Names(7)
    names = [here.of(each) for each in some]

    assert names == [there.of(each) for each in some]
    assert len(set(names)) == 100
    assert len({name[:20] for name in names}) == 100, "ids of a process begin alike, names do not"
    assert {Names(8).of(some[0]), Names(None).of(some[0])}.isdisjoint(names)


def test_a_random_id_of_before_is_its_own_name() -> None:
    before = uuid4()
    assert Names(7).of(before) == before.hex
