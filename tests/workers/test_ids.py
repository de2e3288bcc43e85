import uuid

from workers.ids import new_run_id, sequence_of

IN_2100 = uuid.UUID("03bb2cc3-d800-7000-8000-000000000000")


def test_ids_are_in_the_order_of_their_making_and_are_uuids_of_version_7():
    first = new_run_id()
    second = new_run_id(after=first)
    assert first < second
    assert {first.version, second.version} == {7}
    assert {first.variant, second.variant} == {uuid.RFC_4122}


def test_an_id_comes_after_the_one_before_although_the_clock_is_behind():
    run_id = new_run_id(after=IN_2100)
    assert sequence_of(run_id) == sequence_of(IN_2100) + 1
    assert run_id.version == 7
