from app.executor.slots import Slots


def test_slots__nobody_waits__a_run_takes_what_is_free() -> None:
    slots = Slots(2)
    assert slots.take("a")
    assert slots.take("a")
    assert not slots.take("a")


def test_slots__large_run_holds_all__a_small_one_gets_the_next_that_comes_free() -> None:
    slots, granted = Slots(3), []
    while slots.take("large"):
        pass
    slots.wait("large", lambda: granted.append("large"))
    slots.wait("small", lambda: granted.append("small"))
    slots.release()
    assert granted == ["large"]
    assert slots.take("large")
    assert not slots.take("large")
    slots.wait("large", lambda: granted.append("large"))
    slots.release()
    assert granted == ["large", "small"]
    assert not slots.take("large")
    assert slots.take("small")


def test_slots__slot_comes_free_while_others_wait__it_is_not_taken_past_them() -> None:
    slots, granted = Slots(1), []
    assert slots.take("a")
    slots.wait("b", lambda: granted.append("b"))
    slots.release()
    assert not slots.take("a")
    assert slots.take("b")


def test_slots__run_that_holds_a_reservation_ends__it_goes_to_the_next() -> None:
    slots, granted = Slots(1), []
    assert slots.take("a")
    slots.wait("b", lambda: granted.append("b"))
    slots.wait("c", lambda: granted.append("c"))
    slots.release()
    slots.forget("b")
    assert granted == ["b", "c"]
    assert slots.take("c")


def test_slots__adopted_pods_over_the_limit__nothing_is_free_until_they_end() -> None:
    slots = Slots(1)
    slots.occupy(3)
    assert not slots.take("a")
    slots.wait("a", lambda: None)
    slots.release(2)
    assert not slots.take("a")
    slots.release()
    assert slots.take("a")
