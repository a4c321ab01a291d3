"""The lease machine against what is proven of it in chapter Lease, on event lists that nobody chose."""

from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.lease_model import Acquire, Expire, LeaseModel, Release, Renew, Write, run

TOKENS = st.integers(0, 6)
EVENTS = st.lists(
    st.one_of(
        st.builds(Acquire, st.integers(0, 2)),
        *(st.builds(kind, TOKENS) for kind in (Renew, Expire, Release, Write)),
    ),
    max_size=60,
)


def test_the_story_of_the_chapter() -> None:
    """`Lease.story` in lean/AsicReservoir/Lease.lean."""
    events = [Acquire(1), Write(1), Acquire(2), Expire(1), Acquire(2), Write(2), Write(1), Renew(1), Release(2)]
    assert run(events) == [True, True, False, True, True, True, False, False, True]


@given(EVENTS)
def test_accepted_writes_never_go_back(events) -> None:
    accepted = [e.token for e, yes in zip(events, run(events), strict=True) if yes and isinstance(e, Write)]
    assert accepted == sorted(accepted)


@given(EVENTS)
def test_holder_of_the_live_lease_always_writes(events) -> None:
    model = LeaseModel()
    for event in events:
        model.step(event)
    if model.live is not None:
        assert model.step(Write(model.live))


@given(EVENTS)
def test_a_refused_event_changes_nothing(events) -> None:
    model = LeaseModel()
    for event in events:
        before = (model.live, model.last, model.fence, list(model.holders))
        if not model.step(event):
            assert (model.live, model.last, model.fence, list(model.holders)) == before


@given(EVENTS)
def test_every_grant_has_a_new_token_and_only_where_none_is_live(events) -> None:
    model = LeaseModel()
    for event in events:
        was_live, last = model.live, model.last
        granted = model.step(event)
        if isinstance(event, Acquire):
            assert granted == (was_live is None)
            assert model.last == last + granted
